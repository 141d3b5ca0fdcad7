"""Compiled entries as bytes, and how they become functions of this process."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

from ...records import record
from . import capi
from .callspec import CallSpec, Node, parts, places, referred
from .code import Code
from .machine import host
from .words import Words

__all__ = ["Image", "is_native", "load_entry", "repoint", "service"]


@record(frozen=True, slots=True)
class Image:
    """The object files of an entry, the names that they define for others, and which services of
    a process they need (``threads``, ``memory``): object files too, the last of ``objects``."""

    objects: tuple[bytes, ...]
    names: tuple[str, ...]
    needs: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The image as one run of bytes: a line of text (the names, the sizes of the objects, what
        is needed), then the objects."""
        sizes = [str(len(data)) for data in self.objects]
        head = f"{' '.join(self.names)},{' '.join(sizes)},{' '.join(self.needs)}".encode()
        return b"".join((struct.pack("<I", len(head)), head, *self.objects))

    @staticmethod
    def from_bytes(data: bytes) -> Image:
        """The image that ``to_bytes`` wrote.

        Raises:
            ValueError: when the bytes are anything else.
        """
        try:
            (length,) = struct.unpack_from("<I", data)
            names, sizes, needs = data[4 : 4 + length].decode("ascii").split(",")
            objects, start = [], 4 + length
            for size in map(int, sizes.split()):
                objects.append(data[start : start + size])
                start += size
            image = Image(tuple(objects), tuple(names.split()), tuple(needs.split()))
        except (ValueError, struct.error) as error:
            raise ValueError(f"not an image: {error}") from error
        if start != len(data):
            raise ValueError(f"an image of {start} bytes in {len(data)}")
        return image


def is_native(spec: CallSpec) -> bool:
    """Whether a call can be taken apart by machine code: without a global lock another thread may
    change a list while it is read."""
    inside = (part for param in spec.params for part in parts(param))
    mutable = any(isinstance(part, Node) and part.kind != "tuple" for part in inside)
    return not (capi.FREE_THREADED and mutable)


def service(need: str) -> Any:
    """The module of a service that generated code may need.

    Raises:
        ValueError: if there is no such service.
    """
    if need == "threads":
        from . import pool

        return pool
    if need == "interrupts":
        from . import interrupts

        return interrupts
    if need == "memory":
        from . import memory

        return memory
    raise ValueError(f"generated code needs a service {need!r}, which there is not")


def repoint(function: Any, spec: CallSpec, captured: Sequence[Any]) -> bool:
    """Let the code behind a function that ``load_entry`` made read other captured arrays than those
    of ``spec``, of the same dtypes and shapes; False where that cannot be."""
    owner = getattr(function, "__self__", None)
    if type(owner) is not capi.Owner:
        return False
    before, objects = spec.captures, list(referred(spec))
    first = len(objects) - len(before) - (spec.words is not None)
    at = places(spec)
    table = (ctypes.c_void_p * len(objects)).from_address(owner.code.addresses["objects"])
    for n, ((_, old), new) in enumerate(zip(before, captured, strict=True)):
        if old is not new and at[id(old)] < first:  # the same object has another role as well
            return False
        objects[first + n] = new
    owner.objects = (owner.objects, objects)  # both are alive while the code changes over
    for n in range(first, first + len(before)):
        table[n] = id(objects[n])
    owner.objects = (spec, tuple(objects))
    return True


def load_entry(image: Image, spec: CallSpec) -> Any:
    """The builtin function that calls an image's code; dropping it frees the code."""
    capi.register()
    own = len(image.objects) - len(image.needs)
    for need, given in zip(image.needs, image.objects[own:], strict=True):
        service(need).register(given)
    code = Code(image.objects[:own], host(), image.names)
    objects = referred(spec)
    table = (ctypes.c_void_p * len(objects)).from_address(code.addresses["objects"])
    for n, value in enumerate(objects):
        table[n] = value.address if type(value) is Words else id(value)
    running = code.addresses["objects"] + ctypes.sizeof(table)
    owner = capi.Owner(spec.name, code, (spec, objects), code.addresses["entry"], running)
    return capi.new_function(owner)
