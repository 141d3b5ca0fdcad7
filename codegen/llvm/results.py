"""Building the result of a Python call in generated code: arrays before the run, the rest after.

Order matters for clean failure. Everything that can fail (allocations, dict insertions) happens
before any container takes over a reference; each object that is owned so far is released by a
chain of cleanup blocks, one per object, entered at the object allocated last.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from ...deep import deep
from ...records import field, record
from ...thresholds import thresholds
from ..ir import BYTES, Buffer, Var
from ..scalars import numpy_dtype
from . import capi, memory
from .arguments import (
    ALIGNED,
    C_CONTIGUOUS,
    OWNDATA,
    WRITEABLE,
    Arguments,
    object_pointer,
)
from .callspec import leaves
from .emit import Emitter
from .instructions import memory_type
from .interrupts import INTERRUPTED

if TYPE_CHECKING:
    from .callspec import CallSpec, Leaf, Result

__all__ = ["Results"]


@record(frozen=True, slots=True)
class _Made:
    """A part of the result: its object, and for a container what goes into it."""

    obj: str
    kind: str = ""
    children: list[_Made] = field(default_factory=list)
    keys: tuple[Any, ...] = ()


def _bytes(leaf: Leaf) -> int:
    """The bytes of a result; 0 where they are known at the call only."""
    total = BYTES[leaf.dtype]
    for extent in leaf.shape:
        if not isinstance(extent, int):
            return 0
        total *= extent
    return total


class Results:
    """Writes the allocation of results, and after the run the object that is returned."""

    def __init__(
        self,
        e: Emitter,
        spec: CallSpec,
        buffers: Mapping[str, Buffer],
        arguments: Arguments,
    ) -> None:
        self.e = e
        self.spec = spec
        self.buffers = buffers
        self.arguments = arguments
        self.pointers: dict[str, str] = {}
        self._arrays: dict[str, str] = {}  # buffer -> array object
        found = self._found = list(leaves(spec.result))
        self._leaves = [leaf for leaf in found if leaf.kind != "argument"]
        self._arguments = [leaf.buffer for leaf in found if leaf.kind == "argument"]
        self._owned: list[tuple[str, str]] = []  # object, label of the block that releases it
        self._failed = e.label("failed")
        self._scalars: dict[tuple[str, str], str] = {}  # kind and buffer -> object
        self._ours: set[str] = set()  # owned objects that no container took over so far

    # -- failure ----------------------------------------------------------------------------------

    def _cleanup_label(self) -> str:
        """Where to go when something fails now: releases all that is owned, then returns null."""
        if self._owned:
            return self._owned[-1][1]
        return self._failed

    def _own(self, obj: str) -> None:
        """Check a new reference for null; own it from here on."""
        e = self.e
        null = e.value(f"icmp eq ptr {obj}, null", "missing")
        fine = e.label("fine")
        e.line(f"br i1 {null}, label %{self._cleanup_label()}, label %{fine}")
        e.start(fine)
        self._keep(obj)

    def _keep(self, obj: str) -> None:
        """Note a reference that is owned."""
        self._owned.append((obj, self.e.label("release")))
        self._ours.add(obj)

    def check_status(self, status: str) -> None:
        """After the run: scratch memory may have been missing."""
        e = self.e
        if not self.may_fail:
            return
        missing, fine = e.label("missing"), e.label("fine")
        e.line(
            f"switch i32 {status}, label %{missing} [ i32 0, label %{fine} "
            f"i32 {INTERRUPTED}, label %{self._cleanup_label()} ]"
        )
        e.start(missing)
        e.value("call ptr @PyErr_NoMemory()")
        e.line(f"br label %{self._cleanup_label()}")
        e.start(fine)

    def check_number(self) -> None:
        """After the run: the program may have found what the call has to raise."""
        from .callspec import Leaf

        e, check = self.e, self.spec.check
        if check is None:
            return
        place = self._place(Leaf("int", "i64", check.buffer))
        number = e.value(f"load i64, ptr {place}, align 8", "number")
        wrong, fine = e.label("wrong"), e.label("fine")
        e.line(f"br i1 {e.value(f'icmp ne i64 {number}, 0')}, label %{wrong}, label %{fine}")
        e.start(wrong)
        given = e.value(f"call ptr @PyLong_FromLongLong(i64 {number})")
        slot = e.entry_alloca("ptr", align=8)
        e.line(f"store ptr {given}, ptr {slot}")
        refuse = object_pointer(e, check.refuse)
        e.value(f"call ptr @PyObject_Vectorcall(ptr {refuse}, ptr {slot}, i64 1, ptr null)")
        e.line(f"call void @Py_DecRef(ptr {given})")
        e.line(f"br label %{self._cleanup_label()}")
        e.start(fine)

    @property
    def may_fail(self) -> bool:
        return len(self.e.exports()) > 1 or "interrupts" in self.e.services

    def _write_cleanup(self) -> None:
        e = self.e
        following = self._failed
        blocks = []
        for obj, label in self._owned:
            blocks.append((obj, label, following))
            following = label
        for obj, label, after in reversed(blocks):
            e.start(label)
            e.line(f"call void @Py_DecRef(ptr {obj})")
            e.line(f"br label %{after}")
        e.start(self._failed)
        e.line("ret ptr null")

    # -- before the run ---------------------------------------------------------------------------

    def allocate(self) -> None:
        """New arrays for array results, stack memory for scalar results; references to arguments
        that are results, which may leave their containers while the program runs."""
        for buffer in dict.fromkeys(self._arguments):
            obj = self.arguments.object_of(buffer)
            self.e.line(f"call void @Py_IncRef(ptr {obj})")
            self._owned.append((obj, self.e.label("release")))
            self._ours.add(obj)
        if self.spec.check is not None:
            self.pointers[self.spec.check.buffer] = self.e.entry_alloca("i64", align=8)
        for leaf in self._leaves:
            if leaf.buffer in self.pointers or leaf.buffer in self.arguments.pointers:
                continue
            if leaf.kind == "array":
                self._new_array(leaf)
            else:
                kind = memory_type(leaf.dtype)
                self.pointers[leaf.buffer] = self.e.entry_alloca(kind, align=BYTES[leaf.dtype])

    def _new_array(self, leaf: Leaf) -> None:
        e = self.e
        if memory.available() and _bytes(leaf) >= thresholds.large_result:
            self._large_array(leaf)
            return
        dimensions = self._dimensions(leaf.shape)
        descr = object_pointer(self.e, numpy_dtype(leaf.dtype))
        e.line(f"call void @Py_IncRef(ptr {descr})")  # the next call takes it over
        obj = e.value(
            f"call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr {descr}, "
            f"i32 {len(leaf.shape)}, ptr {dimensions}, ptr null, ptr null, i32 0, ptr null)",
            "array",
        )
        self._own(obj)
        self._made_array(leaf, obj, self.arguments.field("ptr", obj, capi.ARRAY["data"]))

    def _made_array(self, leaf: Leaf, obj: str, data: str) -> None:
        self._arrays[leaf.buffer] = obj
        self.pointers[leaf.buffer] = data

    def _large_array(self, leaf: Leaf) -> None:
        """An array in memory that may come from one that died."""
        e, size = self.e, _bytes(leaf)
        if "memory" not in e.services:
            e.services.add("memory")
            e.add_function(memory.SYMBOLS)
        data = e.value(f"call ptr @symflux_allocate(i64 {size})", "data")
        missing, fine = e.label("missing"), e.label("fine")
        null = e.value(f"icmp eq ptr {data}, null")
        e.line(f"br i1 {null}, label %{missing}, label %{fine}")
        e.start(missing)
        e.value("call ptr @PyErr_NoMemory()")
        e.line(f"br label %{self._cleanup_label()}")
        e.start(fine)
        dimensions = self._dimensions(leaf.shape)
        descr = object_pointer(e, numpy_dtype(leaf.dtype))
        e.line(f"call void @Py_IncRef(ptr {descr})")
        flags = C_CONTIGUOUS | ALIGNED | WRITEABLE
        obj = e.value(
            f"call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr {descr}, "
            f"i32 {len(leaf.shape)}, ptr {dimensions}, ptr null, ptr {data}, i32 {flags}, "
            "ptr null)",
            "array",
        )
        failed, made = e.label("failed"), e.label("made")
        null = e.value(f"icmp eq ptr {obj}, null")
        e.line(f"br i1 {null}, label %{failed}, label %{made}")
        e.start(failed)
        e.line(f"call void @symflux_release(ptr null, ptr {data}, i64 {size})")
        e.line(f"br label %{self._cleanup_label()}")
        e.start(made)
        # from here on the array owns the memory, and gives it back through the handler
        e.line("call void @Py_IncRef(ptr @symflux_handler)")
        place = e.value(f"getelementptr i8, ptr {obj}, i64 {capi.ARRAY['mem_handler']}", "p")
        e.line(f"store ptr @symflux_handler, ptr {place}")
        place = e.value(f"getelementptr i8, ptr {obj}, i64 {capi.ARRAY['flags']}", "p")
        before = e.value(f"load i32, ptr {place}", "f")
        e.line(f"store i32 {e.value(f'or i32 {before}, {OWNDATA}')}, ptr {place}")
        self._own(obj)
        self._made_array(leaf, obj, data)

    def _dimensions(self, shape: tuple[int | Var, ...]) -> str:
        e = self.e
        if all(isinstance(extent, int) for extent in shape):
            name = e.global_name("shape")
            listed = ", ".join(f"i64 {extent}" for extent in shape)
            kind = f"[{len(shape)} x i64]"
            e.add_function(f"{name} = internal constant {kind} [{listed}]")
            return name
        slot = e.entry_alloca("i64", count=len(shape))
        for n, extent in enumerate(shape):
            value = str(extent) if isinstance(extent, int) else self.arguments.sizes[extent]
            place = e.value(f"getelementptr i64, ptr {slot}, i64 {n}")
            e.line(f"store i64 {value}, ptr {place}")
        return slot

    # -- after the run ----------------------------------------------------------------------------

    def finish(self) -> None:
        """Make scalars and containers, fill the containers, return; then the cleanup blocks."""
        e = self.e
        containers: list[_Made] = []
        root = self._make(self.spec.result, containers)
        for made in containers:
            if made.kind == "dict":
                self._fill_dict(made)
        for made in containers:
            for n, child in enumerate(made.children):
                self._hand_over(made, n, child)
        self._take(root.obj)
        e.line(f"ret ptr {root.obj}")
        self._write_cleanup()

    @deep
    def _make(self, tree: Result, containers: list[_Made]) -> Generator[Any, _Made, _Made]:
        """The object for a part of the result, children first; containers are still empty."""
        from .callspec import Leaf, Node

        if isinstance(tree, Leaf):
            return _Made(self._leaf(tree))
        if not isinstance(tree, Node):
            return _Made(object_pointer(self.e, tree.value))
        children: list[_Made] = []
        for child in tree.children:
            children.append((yield self._make.step(child, containers)))
        count = len(tree.children)
        call = {
            "tuple": f"@PyTuple_New(i64 {count})",
            "list": f"@PyList_New(i64 {count})",
            "dict": "@PyDict_New()",
        }[tree.kind]
        obj = self.e.value(f"call ptr {call}", tree.kind)
        self._own(obj)
        made = _Made(obj, tree.kind, children, tree.keys)
        containers.append(made)
        return made

    def _leaf(self, leaf: Leaf) -> str:
        if leaf.kind == "argument":
            return self.arguments.object_of(leaf.buffer)
        if leaf.kind == "array":
            return self._arrays[leaf.buffer]
        key = leaf.kind, leaf.buffer
        if key not in self._scalars:
            self._scalars[key] = self._new_scalar(leaf)
            self._own(self._scalars[key])
        return self._scalars[key]

    def _place(self, leaf: Leaf) -> str:
        """Where the run puts a result of one element."""
        return self.pointers[leaf.buffer]

    def _new_scalar(self, leaf: Leaf) -> str:
        """A new reference to a Python or NumPy scalar holding a buffer's one element."""
        e = self.e
        pointer = self._place(leaf)
        if leaf.kind == "numpy_scalar":
            descr = object_pointer(self.e, numpy_dtype(leaf.dtype))
            return e.value(f"call ptr @PyArray_Scalar(ptr {pointer}, ptr {descr}, ptr null)")
        kind = memory_type(leaf.dtype)
        value = e.value(f"load {kind}, ptr {pointer}, align {BYTES[leaf.dtype]}")
        if leaf.dtype == "bool":
            value = e.value(f"icmp ne i8 {value}, 0")
        if leaf.kind == "bool":
            value = e.cast(value, leaf.dtype, "bool")
            obj = e.value(f"select i1 {value}, ptr @Py_True, ptr @Py_False")
            e.line(f"call void @Py_IncRef(ptr {obj})")
            return obj
        if leaf.kind == "float":
            return e.value(
                f"call ptr @PyFloat_FromDouble(double {e.cast(value, leaf.dtype, 'f64')})"
            )
        if leaf.dtype == "u64":
            return e.value(f"call ptr @PyLong_FromUnsignedLongLong(i64 {value})")
        return e.value(f"call ptr @PyLong_FromLongLong(i64 {e.cast(value, leaf.dtype, 'i64')})")

    def _fill_dict(self, made: _Made) -> None:
        e = self.e
        for key, child in zip(made.keys, made.children, strict=True):
            arguments = f"ptr {made.obj}, ptr {object_pointer(self.e, key)}, ptr {child.obj}"
            status = e.value(f"call i32 @PyDict_SetItem({arguments})")
            bad = e.value(f"icmp ne i32 {status}, 0")
            fine = e.label("fine")
            e.line(f"br i1 {bad}, label %{self._cleanup_label()}, label %{fine}")
            e.start(fine)

    def _is_ours(self, obj: str) -> bool:
        """Whether a reference of ours to ``obj`` is still to be given away; then it no longer
        is."""
        ours = obj in self._ours
        self._ours.discard(obj)
        return ours

    def _take(self, obj: str) -> None:
        """Make sure that a reference to ``obj`` is there to be given away."""
        if not self._is_ours(obj):  # an argument, a constant, or the second place of an object
            self.e.line(f"call void @Py_IncRef(ptr {obj})")

    def _hand_over(self, made: _Made, n: int, child: _Made) -> None:
        """Give a child to its container. Nothing here can fail."""
        e = self.e
        if made.kind == "dict":  # holds a reference of its own already
            if self._is_ours(child.obj):
                e.line(f"call void @Py_DecRef(ptr {child.obj})")
            return
        self._take(child.obj)
        if made.kind == "tuple":
            base, first = made.obj, capi.ITEMS
        else:
            base, first = self.arguments.field("ptr", made.obj, capi.HEAD + 8), 0
        place = e.value(f"getelementptr i8, ptr {base}, i64 {first + 8 * n}", "p")
        e.line(f"store ptr {child.obj}, ptr {place}")
