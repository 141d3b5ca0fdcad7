"""Reading the arguments of a Python call in generated code: checks, pointers, the way out."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...deep import deep
from ..ir import BYTES, Buffer, Program, Role, Var
from ..scalars import numpy_dtype
from . import capi
from .callspec import OUT, compared_key, referred
from .emit import Emitter
from .instructions import memory_type
from .watch import write_watch

if TYPE_CHECKING:
    from .callspec import CallSpec, Leaf, Node, Param

__all__ = ["Arguments", "object_pointer"]

_EQUAL = 2  # Py_EQ
C_CONTIGUOUS, OWNDATA, ALIGNED, WRITEABLE = 0x1, 0x4, 0x100, 0x400


def object_pointer(e: Emitter, value: Any) -> str:
    """The address of a Python object that the call refers to, from the entry's table of them."""
    place = f"getelementptr (i8, ptr @objects, i64 {8 * e.objects[id(value)]})"
    return e.value(f"load ptr, ptr {place}, align 8", "o")


def _equal_numbers(dtype: np.dtype[Any]) -> list[int]:
    """The numbers of NumPy's types that are this one: two of C's integers may have one size."""
    kinds = np.typecodes["AllInteger"] if dtype.kind in "iu" else dtype.char
    return sorted({np.dtype(kind).num for kind in kinds if np.dtype(kind) == dtype})


def _described(number: int, order: int) -> int:
    """A word of a dtype object as the processor reads it: its number and byte order, else 0."""
    word = bytearray(8)
    at = capi.DESCR["byteorder"] - capi.DESCR["word"]
    word[at : at + 1] = order.to_bytes(1, sys.byteorder)
    at = capi.DESCR["type_num"] - capi.DESCR["word"]
    word[at : at + 4] = (number & 0xFFFFFFFF).to_bytes(4, sys.byteorder)
    return int.from_bytes(word, sys.byteorder, signed=True)


class Arguments:
    """Writes the first part of the entry: from Python objects to buffer pointers.

    After ``read``, ``pointers`` maps buffer names to LLVM pointers, ``objects`` to the Python
    objects they came from, ``sizes`` the program's sizes to i64 values. Nothing has been allocated
    and no reference taken by then, so that the way out needs no cleaning up."""

    def __init__(
        self, e: Emitter, spec: CallSpec, buffers: Mapping[str, Buffer], out: bool = False
    ) -> None:
        self.e = e
        self.spec = spec
        self._out = out  # whether arrays for the results are given too, behind the arguments
        self.buffers = buffers
        self.pointers: dict[str, str] = {}
        self.objects: dict[str, str] = {}
        self.sizes: dict[Var, str] = {}
        self._dtypes: dict[str, str] = {}  # addresses of their usual objects
        self._captures: list[str] = []  # others may take their places while the program runs
        self._nested: list[str] = []  # objects that only a container holds
        self._ranges: list[tuple[bool, str, str]] = []  # donated, pointer, bytes
        self._fallback = e.label("fallback")

    # -- small steps ------------------------------------------------------------------------------

    def field(self, kind: str, base: str, offset: int) -> str:
        """The field of type ``kind`` at a byte offset of an object."""
        e = self.e
        address = e.value(f"getelementptr i8, ptr {base}, i64 {offset}", "p")
        return e.value(f"load {kind}, ptr {address}", "f")

    def require(self, condition: str) -> None:
        """Go on if an i1 holds; to the fallback otherwise."""
        fine = self.e.label("fine")
        self.e.line(f"br i1 {condition}, label %{fine}, label %{self._fallback}")
        self.e.start(fine)

    def require_equal(self, kind: str, left: str, right: str) -> None:
        self.require(self.e.value(f"icmp eq {kind} {left}, {right}", "same"))

    def require_type(self, obj: str, type_pointer: str) -> None:
        self.require_equal("ptr", self.field("ptr", obj, capi.HEAD - 8), type_pointer)

    # -- the whole --------------------------------------------------------------------------------

    def read(self) -> None:
        """Write the checks of all arguments and captured arrays."""
        e = self.e
        self._begin()
        # callers may set the highest bit: PY_VECTORCALL_ARGUMENTS_OFFSET
        count = e.value(f"and i64 %count, {2**63 - 1}", "given")
        self.require_equal("i64", count, str(len(self.spec.params)))
        if not self._out:
            self._keywords()
        self._take_memory()
        for n, param in enumerate(self.spec.params):
            self._param(param, self.field("ptr", "%arguments", 8 * n), nested=False)
        if self._out and self.spec.out is not None:
            given = self.field("ptr", "%arguments", 8 * len(self.spec.params))
            self._param(self.spec.out, given, nested=False)
            self.objects[OUT] = given
        self._all_captured()
        if self.spec.words is not None:
            words = self.spec.words
            write_watch(e, object_pointer(e, words), words.in_line, self._fallback)
        self._require_disjoint()
        e.line("; the arguments fit")

    def release_memory(self) -> None:
        """Give back what ``_take_memory`` took."""

    def _begin(self) -> None:
        """Before the first check: nothing, where there are few arguments (``many.py``)."""

    def _take_memory(self) -> None:
        """When memory for the call is needed: none, where there are few."""

    def _give(self, buffer: str, pointer: str) -> None:
        """Where the elements of a buffer are."""
        self.pointers[buffer] = pointer

    def _given_object(self, buffer: str, obj: str) -> None:
        """Which object a buffer's elements came in."""
        self.objects[buffer] = obj

    def _give_range(self, buffer: str, donated: bool, start: str, size: str) -> None:
        """Which bytes an array has."""
        self._ranges.append((donated, start, size))

    def _cell(self, leaf: Leaf) -> str:
        """Memory for one value of an argument."""
        return self.e.entry_alloca(memory_type(leaf.dtype), align=BYTES[leaf.dtype])

    def passed(self, results: Mapping[str, str], program: Program) -> list[str]:
        """What the program is passed for its buffers, given where the results go."""
        pointers = {**self.pointers, **results}
        return [f"ptr {pointers[b.name]}" for b in program.arguments()]

    def object_of(self, buffer: str) -> str:
        """The object that a buffer's elements came in."""
        return self.objects[buffer]

    def _keywords(self) -> None:
        """None but ``out``, which has an entry of its own."""
        e = self.e
        if self.spec.out is None:
            self.require_equal("ptr", "%keywords", "null")
            return
        none, some, out = e.label("positional"), e.label("keywords"), e.label("out")
        e.line(f"br i1 {e.value('icmp eq ptr %keywords, null')}, label %{none}, label %{some}")
        e.start(some)
        self.require_equal("i64", self.field("i64", "%keywords", capi.HEAD), "1")
        name = self.field("ptr", "%keywords", capi.ITEMS)
        self.require_equal("ptr", name, object_pointer(e, OUT))
        e.line(f"br label %{out}")
        e.start(out)
        listed = "ptr %self, ptr %arguments, i64 %count, ptr %keywords"
        e.line(f"ret ptr {e.value(f'call ptr @entry_out({listed})')}")
        e.start(none)

    @deep
    def _param(self, param: Param, obj: str, *, nested: bool) -> Generator[Any, None, None]:
        from .callspec import Leaf, Node

        if isinstance(param, Leaf):
            self._given_object(param.buffer, obj)
            getattr(self, f"_{param.kind}")(param, obj)
            if nested and param.kind == "array":
                self._nested.append(obj)
        elif isinstance(param, Node):
            yield self._node.step(param, obj)
        else:
            self.require_equal("ptr", obj, object_pointer(self.e, param.value))

    @deep
    def _node(self, node: Node, obj: str) -> Generator[Any, None, None]:
        count = len(node.children)
        if node.kind == "dict":
            yield self._dict.step(node, obj)
            return
        tuple_ = node.kind == "tuple"
        self.require_type(obj, "@PyTuple_Type" if tuple_ else "@PyList_Type")
        self.require_equal("i64", self.field("i64", obj, capi.HEAD), str(count))
        first = capi.ITEMS if tuple_ else 0
        base = obj if tuple_ or not count else self.field("ptr", obj, capi.HEAD + 8)
        yield self._items.step(node, base, first)

    @deep
    def _items(self, node: Node, base: str, first: int) -> Generator[Any, None, None]:
        """The children of a tuple or list, whose objects lie from ``first`` on."""
        for n, child in enumerate(node.children):
            yield self._param.step(child, self.field("ptr", base, first + 8 * n), nested=True)

    @deep
    def _dict(self, node: Node, obj: str) -> Generator[Any, None, None]:
        """Item by item in the dict's own order, which is part of the signature. Nothing is looked
        up: comparing keys could run code of the user's, which could change what is read here."""
        e = self.e
        count = len(node.children)
        self.require_type(obj, "@PyDict_Type")
        self.require_equal("i64", e.value(f"call i64 @PyDict_Size(ptr {obj})"), str(count))
        place, key, value = (e.entry_alloca(kind, align=8) for kind in ("i64", "ptr", "ptr"))
        e.line(f"store i64 0, ptr {place}")
        for wanted, child in zip(node.keys, node.children, strict=True):
            slots = f"ptr {obj}, ptr {place}, ptr {key}, ptr {value}"
            some = e.value(f"call i32 @PyDict_Next({slots})")
            self.require(e.value(f"icmp ne i32 {some}, 0"))
            self._require_key(e.value(f"load ptr, ptr {key}"), wanted)
            yield self._param.step(child, e.value(f"load ptr, ptr {value}"), nested=True)

    def _require_key(self, key: str, wanted: Any) -> None:
        """The very object, or an equal one of a type whose comparison runs no code of the user's;
        other keys are left to the fallback."""
        e = self.e
        expected = object_pointer(e, wanted)
        kind = compared_key(wanted)
        same = e.value(f"icmp eq ptr {key}, {expected}", "same")
        if kind is None:
            self.require(same)
            return
        fine, other = e.label("fine"), e.label("other")
        e.line(f"br i1 {same}, label %{fine}, label %{other}")
        e.start(other)
        self.require_type(key, f"@{kind}")
        equal = f"call i32 @PyObject_RichCompareBool(ptr {key}, ptr {expected}, i32 {_EQUAL})"
        is_equal = e.value(f"icmp eq i32 {e.value(equal)}, 1")
        e.line(f"br i1 {is_equal}, label %{fine}, label %{self._fallback}")
        e.start(fine)

    # -- leaves -----------------------------------------------------------------------------------

    def _stack_value(self, leaf: Leaf, value: str) -> None:
        """Put a scalar into memory that the program reads as its buffer."""
        e = self.e
        kind = memory_type(leaf.dtype)
        slot = self._cell(leaf)
        e.line(f"store {kind} {value}, ptr {slot}, align {BYTES[leaf.dtype]}")
        self._give(leaf.buffer, slot)

    def _float(self, leaf: Leaf, obj: str) -> None:
        e = self.e
        self.require_type(obj, "@PyFloat_Type")
        value = self.field("double", obj, capi.HEAD)
        if leaf.dtype != "f64":
            value = e.cast(value, "f64", leaf.dtype)
        self._stack_value(leaf, value)

    def _int(self, leaf: Leaf, obj: str) -> None:
        e = self.e
        self.require_type(obj, "@PyLong_Type")
        overflow = e.entry_alloca("i32", align=4)
        call = f"call i64 @PyLong_AsLongLongAndOverflow(ptr {obj}, ptr {overflow})"
        value = e.value(call)
        self.require_equal("i32", e.value(f"load i32, ptr {overflow}, align 4"), "0")
        for dtype in dict.fromkeys((leaf.dtype, *leaf.narrow)):
            self._require_fits(value, dtype)
        self._stack_value(leaf, e.memory_value(e.cast(value, "i64", leaf.dtype), leaf.dtype))

    def _require_fits(self, value: str, dtype: str) -> None:
        """Go on if an i64 is a number of an integer dtype."""
        e = self.e
        if dtype == "u64":
            self.require(e.value(f"icmp sge i64 {value}, 0"))
        elif dtype[0] in "iu" and dtype != "i64":
            narrow = e.cast(value, "i64", dtype)
            self.require_equal("i64", e.cast(narrow, dtype, "i64"), value)

    def _bool(self, leaf: Leaf, obj: str) -> None:
        e = self.e
        true = e.value(f"icmp eq ptr {obj}, @Py_True")
        false = e.value(f"icmp eq ptr {obj}, @Py_False")
        self.require(e.value(f"or i1 {true}, {false}"))
        self._stack_value(leaf, e.memory_value(e.cast(true, "bool", leaf.dtype), leaf.dtype))

    def _numpy_scalar(self, leaf: Leaf, obj: str) -> None:
        self.require_type(obj, object_pointer(self.e, numpy_dtype(leaf.dtype).type))
        self._stack_value(leaf, self.field(memory_type(leaf.dtype), obj, capi.HEAD))

    def _array(self, leaf: Leaf, obj: str) -> None:
        self.require_type(obj, "@PyArray_Type")
        self._array_fields(leaf.buffer, leaf.dtype, leaf.shape, leaf.donated, obj)

    def _all_captured(self) -> None:
        for name, array in self.spec.captures:
            self._captured(name, array, object_pointer(self.e, array))

    def _captured(self, name: str, array: np.ndarray[Any, Any], obj: str) -> None:
        """The array itself cannot change; its dtype, shape and data can (in-place assignments)."""
        buffer = self.buffers[name]
        donated = buffer.role is Role.INOUT
        self._captures.append(obj)
        self._array_fields(name, buffer.dtype, array.shape, donated, obj)

    def _array_fields(
        self, name: str, dtype: str, shape: tuple[int | Var, ...], donated: bool, obj: str
    ) -> None:
        e = self.e
        descr = self.field("ptr", obj, capi.ARRAY["descr"])
        self._require_dtype(descr, dtype)
        wanted = C_CONTIGUOUS | ALIGNED | (WRITEABLE if donated else 0)
        flags = self.field("i32", obj, capi.ARRAY["flags"])
        self.require_equal("i32", e.value(f"and i32 {flags}, {wanted}"), str(wanted))
        self.require_equal("i32", self.field("i32", obj, capi.ARRAY["nd"]), str(len(shape)))
        bytes_ = str(BYTES[dtype])
        if shape:
            dimensions = self.field("ptr", obj, capi.ARRAY["dimensions"])
        for n, extent in enumerate(shape):
            actual = self.field("i64", dimensions, 8 * n)
            if isinstance(extent, int):
                self.require_equal("i64", actual, str(extent))
            elif extent in self.sizes:
                self.require_equal("i64", actual, self.sizes[extent])
            else:
                self.sizes[extent] = actual
            factor = str(extent) if isinstance(extent, int) else self.sizes[extent]
            if bytes_.isdigit() and factor.isdigit():
                bytes_ = str(int(bytes_) * int(factor))
            else:
                bytes_ = e.value(f"mul i64 {bytes_}, {factor}")
        data = self.field("ptr", obj, capi.ARRAY["data"])
        self._give(name, data)
        self._give_range(name, donated, data, bytes_)

    def _require_dtype(self, descr: str, dtype: str) -> None:
        """The usual dtype object, or another one that means the same: from a pickle, say, or the
        one of NumPy's integer types of that size (`long`, `long long`) that is not the usual."""
        e = self.e
        usual = numpy_dtype(dtype)
        fine, other = e.label("fine"), e.label("other")
        if dtype not in self._dtypes:
            self._dtypes[dtype] = object_pointer(e, usual)
        same = e.value(f"icmp eq ptr {descr}, {self._dtypes[dtype]}")
        e.line(f"br i1 {same}, label %{fine}, label %{other}")
        e.start(other)
        word = self.field("i64", descr, capi.DESCR["word"])
        word = e.value(f"and i64 {word}, {_described(-1, 0xFF)}")
        equal = [
            e.value(f"icmp eq i64 {word}, {_described(number, ord(usual.byteorder))}")
            for number in _equal_numbers(usual)
        ]
        both = equal[0] if len(equal) == 1 else e.value(f"or i1 {', '.join(equal)}")
        e.line(f"br i1 {both}, label %{fine}, label %{self._fallback}")
        e.start(fine)

    def _require_disjoint(self) -> None:
        """No donated array may share bytes with another array."""
        e = self.e
        if not any(donated for donated, _, _ in self._ranges):
            return
        for array in self.spec.apart:
            start = self.field("ptr", object_pointer(e, array), capi.ARRAY["data"])
            self._ranges.append((False, start, str(array.nbytes)))
        for n, (donated, start, bytes_) in enumerate(self._ranges):
            if not donated:
                continue
            end = e.value(f"getelementptr i8, ptr {start}, i64 {bytes_}")
            for m, (other_donated, other, other_bytes) in enumerate(self._ranges):
                if m == n or (other_donated and m < n):
                    continue
                other_end = e.value(f"getelementptr i8, ptr {other}, i64 {other_bytes}")
                after = e.value(f"icmp uge ptr {other}, {end}")
                before = e.value(f"icmp uge ptr {start}, {other_end}")
                self.require(e.value(f"or i1 {after}, {before}"))

    # -- while the global lock is not held --------------------------------------------------------

    def _count(self, step: int) -> None:
        """Count the calls in this code that wait for other Python code: it is not freed then."""
        e = self.e
        at = len(referred(self.spec))
        place = e.value(f"getelementptr ptr, ptr @objects, i64 {at}", "waiting")
        before = e.value(f"load i64, ptr {place}", "before")
        e.line(f"store i64 {e.value(f'add i64 {before}, {step}', 'after')}, ptr {place}")

    def _held(self) -> list[str]:
        return [*self._nested, *self._captures]

    def hold(self) -> None:
        """Take references to arrays that another thread could drop from their containers."""
        self._count(1)
        for obj in self._held():
            self.e.line(f"call void @Py_IncRef(ptr {obj})")

    def let_go(self) -> None:
        for obj in self._held():
            self.e.line(f"call void @Py_DecRef(ptr {obj})")
        self._count(-1)

    def write_fallback(self) -> None:
        """Write the way out: the fallback called with the original arguments."""
        e = self.e
        e.start(self._fallback)
        self.release_memory()
        self._count(1)
        callee = object_pointer(self.e, self.spec.fallback)
        result = e.value(
            f"call ptr @PyObject_Vectorcall(ptr {callee}, ptr %arguments, i64 %count, "
            "ptr %keywords)"
        )
        self._count(-1)
        e.line(f"ret ptr {result}")
