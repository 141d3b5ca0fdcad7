"""Conversions between f16 and wider floats in integer arithmetic, for processors without them.

x86-64 has instructions for them from F16C on (v3). Below, LLVM computes each operation of halves
in f32, between calls of ``__extendhfsf2`` and ``__truncsfhf2``: functions of a run-time library
that no Python process is sure to have. ``with_conversions`` gives a module its own. In vectors
those calls would go lane by lane, so ``instructions.py`` writes the conversions in line there.
The bits are those of F16C: nearest, ties to even; subnormals exact; a nan stays quiet and keeps
the upper bits of its payload.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .writer import Writer

if TYPE_CHECKING:
    from .machine import Machine

__all__ = ["narrowed", "rounded_to_odd", "widened", "with_conversions"]


class _Words:
    """Operations on 32-bit words, as wide as the lanes of a writer."""

    def __init__(self, e: Writer) -> None:
        self.e = e

    def binary(self, word: str, left: str, right: int) -> str:
        return self.e.value(f"{word} {self.e.kind('u32')} {left}, {self.e.constant(right, 'u32')}")

    def both(self, word: str, left: str, right: str) -> str:
        return self.e.value(f"{word} {self.e.kind('u32')} {left}, {right}")

    def pick(self, condition: str, yes: str, no: str) -> str:
        kind = self.e.kind("u32")
        return self.e.value(f"select {self.e.kind('bool')} {condition}, {kind} {yes}, {kind} {no}")

    def turn(self, word: str, x: str, source: str, target: str) -> str:
        return self.e.value(f"{word} {self.e.kind(source)} {x} to {self.e.kind(target)}")


def widened(e: Writer, x: str) -> str:
    """An f16 as f32."""
    w = _Words(e)
    bits = w.turn("zext", w.turn("bitcast", x, "f16", "u16"), "u16", "u32")
    size = w.binary("and", bits, 0x7FFF)
    sign = w.binary("shl", w.binary("and", bits, 0x8000), 16)
    placed = w.binary("shl", size, 13)
    number = w.binary("add", placed, (127 - 15) << 23)
    special = w.binary("add", placed, (255 - 31) << 23)
    quiet = w.pick(w.binary("icmp ugt", size, 0x7C00), w.binary("or", special, 0x400000), special)
    # subnormals are multiples of 2**-24
    count = w.turn("sitofp", size, "u32", "f32")
    kind = e.kind("f32")
    small = e.value(f"fmul {kind} {count}, {e.constant(2.0**-24, 'f32')}")
    small = w.turn("bitcast", small, "f32", "u32")
    result = w.pick(w.binary("icmp uge", size, 0x7C00), quiet, number)
    result = w.pick(w.binary("icmp ult", size, 0x0400), small, result)
    return w.turn("bitcast", w.both("or", result, sign), "u32", "f32")


def narrowed(e: Writer, x: str) -> str:
    """An f32 as f16."""
    w = _Words(e)
    bits = w.turn("bitcast", x, "f32", "u32")
    size = w.binary("and", bits, 0x7FFFFFFF)
    sign = w.binary("and", w.binary("lshr", bits, 16), 0x8000)
    # what is 2**16 or more becomes inf, as 2**16 itself does
    fits = w.binary("icmp ult", size, (127 + 16) << 23)
    finite = w.pick(fits, size, e.constant((127 + 16) << 23, "u32"))
    odd = w.binary("and", w.binary("lshr", finite, 13), 1)
    nearest = w.both("add", w.binary("add", finite, 0xFFF - ((127 - 15) << 23)), odd)
    number = w.binary("lshr", nearest, 13)
    # below 2**-14: the last place of 0.5 is 2**-24, and so an addition to it rounds
    kind = e.kind("f32")
    value = w.turn("bitcast", size, "u32", "f32")
    moved = e.value(f"fadd {kind} {value}, {e.constant(0.5, 'f32')}")
    small = w.binary("sub", w.turn("bitcast", moved, "f32", "u32"), 126 << 23)
    payload = w.binary("and", w.binary("lshr", size, 13), 0x1FF)
    nan = w.binary("or", payload, 0x7E00)
    result = w.pick(w.binary("icmp ult", size, (127 - 14) << 23), small, number)
    result = w.pick(w.binary("icmp ugt", size, 0x7F800000), nan, result)
    whole = w.turn("trunc", w.both("or", result, sign), "u32", "u16")
    return w.turn("bitcast", whole, "u16", "f16")


def rounded_to_odd(e: Writer, x: str) -> str:
    """An f64 as the f32 that rounds to f16 as the f64 itself does: cut off, the last bit set if
    that lost anything (Boldo and Melquiond 2008)."""
    w = _Words(e)
    near = w.turn("fptrunc", x, "f64", "f32")
    back = w.turn("fpext", near, "f32", "f64")
    kind = e.kind("f64")
    inexact = e.value(f"fcmp une {kind} {back}, {x}")
    fabs = f"call {kind} @llvm.fabs.{e.suffix('f64')}({kind}"
    size, back_size = e.value(f"{fabs} {x})"), e.value(f"{fabs} {back})")
    away = w.turn("sext", e.value(f"fcmp ogt {kind} {back_size}, {size}"), "bool", "u32")
    toward_zero = w.both("add", w.turn("bitcast", near, "f32", "u32"), away)
    odd = w.both("or", toward_zero, w.turn("zext", inexact, "bool", "u32"))
    return w.turn("bitcast", odd, "u32", "f32")


@functools.cache
def _conversions() -> str:
    """The functions that LLVM calls, internal to the module."""
    e = Writer()
    functions = {
        "__extendhfsf2": ("f16", "f32", widened),
        "__truncsfhf2": ("f32", "f16", narrowed),
        "__truncdfhf2": ("f64", "f16", lambda e, x: narrowed(e, rounded_to_odd(e, x))),
    }
    for name, (source, target, write) in functions.items():
        header = f"define internal {e.kind(target)} @{name}({e.kind(source)} %x)"
        with e.function(header, attributes="noinline nounwind"):
            e.line(f"ret {e.kind(target)} {write(e, '%x')}")
    # nothing calls them before machine code is made
    kept = ", ".join(f"ptr @{name}" for name in functions)
    used = f'[{len(functions)} x ptr] [{kept}], section "llvm.metadata"'
    return f"\n{e.text()}\n@llvm.compiler.used = appending global {used}\n"


def with_conversions(text: str, machine: Machine) -> str:
    """The text of a module, with the conversions that the processor lacks, if it has halves."""
    if machine.has_halves or "half" not in text:
        return text
    return text + _conversions()
