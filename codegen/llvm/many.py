"""Calls with very many arguments or results: their parts lie in tables, loops go over equal ones.

An entry of straight-line code keeps every object and every pointer in a register or on the stack
until the run, or the end: LLVM's work on that grows with the square of their number. Here a call
takes one block of memory from the heap, which holds for each argument buffer of the program

- where its elements are: the table that the program is passed (``Emitter.by_table``),
- a cell for the element of a scalar,
- the object that it came in, and how many bytes it has,

and then the objects of the result. These hold a reference each, whatever else holds one; the way
out, after failures too, drops them all.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...deep import deep
from ...thresholds import thresholds
from ..ir import Buffer, Program, Role
from . import capi
from .arguments import Arguments, object_pointer
from .callspec import Leaf, Node, Param, Result
from .emit import Emitter
from .results import Results

if TYPE_CHECKING:
    import numpy as np

    from .callspec import CallSpec

__all__ = ["ManyArguments", "ManyResults"]


def _alike(a: object, b: object) -> bool:
    """Whether two leaves differ in nothing but their buffers."""
    if type(a) is not Leaf or type(b) is not Leaf:
        return False
    return (a.kind, a.dtype, a.shape, a.donated, a.narrow) == (
        b.kind, b.dtype, b.shape, b.donated, b.narrow,
    )  # fmt: skip


def _same_size(leaf: Leaf) -> bool:
    """Whether the sizes of a leaf are known."""
    return all(isinstance(extent, int) for extent in leaf.shape)


class _Memory:
    """The block of one call: addresses in it. Numbers of places are literals or names of i64."""

    def __init__(self, e: Emitter, count: int, objects: int) -> None:
        self.e, self.count, self.objects = e, count, objects
        self.size = 4 * count + objects
        self.slot = ""  # the stack's word that says where the block is; null before and after

    def begin(self) -> None:
        self.slot = self.e.entry_alloca("ptr", align=8)
        self.e.line(f"store ptr null, ptr {self.slot}, align 8")

    def take(self) -> None:
        """Get the block, all zero; the function returns null where there is no memory."""
        e = self.e
        block = e.value(f"call ptr @PyMem_RawCalloc(i64 {self.size}, i64 8)", "block")
        missing, fine = e.label("missing"), e.label("fine")
        null = e.value(f"icmp eq ptr {block}, null")
        e.line(f"br i1 {null}, label %{missing}, label %{fine}")
        e.start(missing)
        e.value("call ptr @PyErr_NoMemory()")
        e.line("ret ptr null")
        e.start(fine)
        e.line(f"store ptr {block}, ptr {self.slot}, align 8")
        self.block = block

        def point(place: str, _: list[str]) -> list[str]:
            self.store("ptr", self.cell(place), self.table(place))
            return []

        e.counted_loop(self.count, point)

    def give_back(self) -> None:
        block = self.e.value(f"load ptr, ptr {self.slot}, align 8")
        self.e.line(f"call void @PyMem_RawFree(ptr {block})")

    def at(self, number: str) -> str:
        return self.e.value(f"getelementptr inbounds i64, ptr {self.block}, i64 {number}", "at")

    def _in(self, part: int, place: str) -> str:
        return self.at(self.sum(place, part * self.count))

    def sum(self, place: str, more: int) -> str:
        """``place + more``."""
        if not place.startswith("%"):
            return str(int(place) + more)
        return self.e.value(f"add nuw nsw i64 {place}, {more}", "x") if more else place

    def table(self, place: str) -> str:
        return self._in(0, place)

    def cell(self, place: str) -> str:
        return self._in(1, place)

    def given(self, place: str) -> str:
        return self._in(2, place)

    def bytes(self, place: str) -> str:
        return self._in(3, place)

    def result(self, place: str) -> str:
        return self._in(4, place)

    def load(self, kind: str, address: str) -> str:
        return self.e.value(f"load {kind}, ptr {address}, align 8", "f")

    def store(self, kind: str, value: str, address: str) -> None:
        self.e.line(f"store {kind} {value}, ptr {address}, align 8")


class ManyArguments(Arguments):
    """As ``Arguments``, with what was found in the block of the call (``memory``)."""

    def __init__(
        self, e: Emitter, spec: CallSpec, buffers: Mapping[str, Buffer], out: bool = False
    ) -> None:
        super().__init__(e, spec, buffers, out)
        names = list(buffers)
        self.places = {name: n for n, name in enumerate(names)}
        self.memory = _Memory(e, len(names) + len(spec.apart), _objects(spec.result))
        self._donated = {b.name for b in buffers.values() if b.role is Role.INOUT}
        if out:
            self._donated |= {name for name in names if buffers[name].role is Role.OUTPUT}
        self._place: tuple[str, int] | None = None  # within a loop: its variable, and the first

    def place(self, buffer: str) -> str:
        """The number of a buffer's place: a literal, or in a loop the name of an i64."""
        if self._place is None:
            return str(self.places[buffer])
        return self.memory.sum(*self._place)

    def _begin(self) -> None:
        self.memory.begin()

    def _take_memory(self) -> None:
        self.memory.take()

    def release_memory(self) -> None:
        self.memory.give_back()

    def _give(self, buffer: str, pointer: str) -> None:
        if not pointer.startswith(self._CELL):  # the table points to the cells already
            self.memory.store("ptr", pointer, self.memory.table(self.place(buffer)))
        self.pointers[buffer] = ""

    _CELL = "%at"

    def _cell(self, leaf: Leaf) -> str:
        return self.memory.cell(self.place(leaf.buffer))

    def _given_object(self, buffer: str, obj: str) -> None:
        self.memory.store("ptr", obj, self.memory.given(self.place(buffer)))

    def passed(self, results: Mapping[str, str], program: Program) -> list[str]:
        return [f"ptr {self.memory.block}"]

    def object_of(self, buffer: str) -> str:
        if buffer in self.objects:  # the container of all results that was given
            return self.objects[buffer]
        return self.memory.load("ptr", self.memory.given(str(self.places[buffer])))

    def _give_range(self, buffer: str, donated: bool, start: str, size: str) -> None:
        self.memory.store("i64", size, self.memory.bytes(self.place(buffer)))

    # -- equal ones in a row -----------------------------------------------------------------------

    @deep
    def _items(self, node: Node, base: str, first: int) -> Generator[Any, None, None]:
        start = 0
        for end in _ends(node.children, self.places):
            child = node.children[start]
            if end - start < thresholds.alike:
                for n in range(start, end):
                    obj = self.field("ptr", base, first + 8 * n)
                    yield self._param.step(node.children[n], obj, nested=True)
            else:
                assert isinstance(child, Leaf)
                self._loop(child, base, first + 8 * start, end - start)
            start = end

    def _loop(self, leaf: Leaf, base: str, first: int, count: int) -> None:
        """Read so many arguments like ``leaf``, whose objects lie from ``first`` on."""

        def body(n: str, _: list[str]) -> list[str]:
            e = self.e
            self._place = n, self.places[leaf.buffer]
            address = e.value(f"getelementptr i8, ptr {base}, i64 {first}", "p")
            address = e.value(f"getelementptr ptr, ptr {address}, i64 {n}", "p")
            self._param(leaf, e.value(f"load ptr, ptr {address}"), nested=True)
            self._place = None
            return []

        self.e.counted_loop(count, body)

    def _all_captured(self) -> None:
        captures = self.spec.captures
        at = [self.e.objects[id(array)] for _, array in captures]
        start = 0
        while start < len(captures):
            end = start + 1
            while end < len(captures) and self._continues(captures, at, end):
                end += 1
            (name, array), count = captures[start], end - start
            if count < thresholds.alike:
                for n in range(start, end):
                    obj = object_pointer(self.e, captures[n][1])
                    self._given_object(captures[n][0], obj)
                    self._captured(*captures[n], obj)
            else:
                self._captured_loop(name, array, at[start], count)
            start = end

    def _continues(
        self, captures: Sequence[tuple[str, np.ndarray[Any, Any]]], at: list[int], n: int
    ) -> bool:
        """Whether a captured array is as the one before, and in the place after it."""
        (before, first), (name, array) = captures[n - 1 : n + 1]
        return (
            at[n] == at[n - 1] + 1
            and self.places[name] == self.places[before] + 1
            and array.shape == first.shape
            and self.buffers[name].dtype == self.buffers[before].dtype
            and self.buffers[name].role is self.buffers[before].role
        )

    def _captured_loop(self, name: str, array: np.ndarray[Any, Any], at: int, count: int) -> None:
        def body(n: str, _: list[str]) -> list[str]:
            e = self.e
            self._place = n, self.places[name]
            first = f"getelementptr (i8, ptr @objects, i64 {8 * at})"
            address = e.value(f"getelementptr ptr, ptr {first}, i64 {n}", "p")
            obj = e.value(f"load ptr, ptr {address}, align 8", "o")
            self._given_object(name, obj)
            self._captured(name, array, obj)
            self._place = None
            return []

        self.e.counted_loop(count, body)

    # -- all of them -------------------------------------------------------------------------------

    def _require_disjoint(self) -> None:
        """Of every two arrays of which one is donated: one ends before the other begins."""
        if not self._donated:
            return
        e, memory, apart = self.e, self.memory, len(self.places)
        for n, array in enumerate(self.spec.apart):
            start = self.field("ptr", object_pointer(e, array), capi.ARRAY["data"])
            memory.store("ptr", start, memory.table(str(apart + n)))
            memory.store("i64", str(array.nbytes), memory.bytes(str(apart + n)))
        flags = [int(name in self._donated) for name in self.places] + [0] * len(self.spec.apart)
        name = e.global_name("donated")
        listed = ", ".join(f"i8 {flag}" for flag in flags)
        e.add_function(f"{name} = internal constant [{len(flags)} x i8] [{listed}]")

        def outer(n: str, _: list[str]) -> list[str]:
            start = memory.load("ptr", memory.table(n))
            size = memory.load("i64", memory.bytes(n))
            end = e.value(f"getelementptr i8, ptr {start}, i64 {size}")
            flag = e.value(f"load i8, ptr {e.value(f'getelementptr i8, ptr {name}, i64 {n}')}")
            donated = e.value(f"icmp ne i8 {flag}, 0")

            def inner(m: str, _: list[str]) -> list[str]:
                other = memory.load("ptr", memory.table(m))
                length = memory.load("i64", memory.bytes(m))
                other_end = e.value(f"getelementptr i8, ptr {other}, i64 {length}")
                fine = e.value(f"icmp uge ptr {other}, {end}")
                for more in (
                    f"icmp uge ptr {start}, {other_end}", f"icmp eq i64 {m}, {n}",
                    f"icmp eq i64 {length}, 0",
                ):  # fmt: skip
                    fine = e.value(f"or i1 {fine}, {e.value(more)}")
                self.require(fine)
                return []

            def compare() -> list[str]:
                e.counted_loop(memory.count, inner)
                return []

            e.where(donated, [], compare)
            return []

        e.counted_loop(memory.count, outer)

    def hold(self) -> None:
        self._count(1)
        self._for_all("Py_IncRef")

    def let_go(self) -> None:
        self._for_all("Py_DecRef")
        self._count(-1)

    def _for_all(self, function: str) -> None:
        def body(n: str, _: list[str]) -> list[str]:
            obj = self.memory.load("ptr", self.memory.given(n))
            self.e.line(f"call void @{function}(ptr {obj})")  # null is fine
            return []

        self.e.counted_loop(self.memory.count, body)


def _ends(children: Sequence[Param | Result], places: Mapping[str, int]) -> list[int]:
    """Where runs of equal leaves of known size, whose buffers lie side by side, end."""
    ends = []
    for n in range(1, len(children)):
        before, child = children[n - 1], children[n]
        if not (
            _alike(before, child)
            and isinstance(child, Leaf)
            and isinstance(before, Leaf)
            and _same_size(child)
            and places[child.buffer] == places[before.buffer] + 1
        ):
            ends.append(n)
    return [*ends, len(children)] if children else []


def _objects(tree: Result) -> int:
    """At most how many objects a result is made of."""
    found, count = [tree], 0
    while found:
        part = found.pop()
        count += 1
        if isinstance(part, Node):
            found.extend(part.children)
    return count


class ManyResults(Results):
    """As ``Results``: objects are numbered, and lie in the block of the call.

    The leaves come first, in the order in which they are first needed, then what holds them."""

    arguments: ManyArguments

    def __init__(
        self, e: Emitter, spec: CallSpec, buffers: Mapping[str, Buffer], arguments: ManyArguments
    ) -> None:
        super().__init__(e, spec, buffers, arguments)
        self.memory = arguments.memory
        self._numbers: dict[tuple[str, str], int] = {}  # kind and buffer -> object
        self._distinct: list[Leaf] = []
        for leaf in self._found:
            key = leaf.kind, leaf.buffer
            if key not in self._numbers:
                self._numbers[key] = len(self._numbers)
                self._distinct.append(leaf)
        self._next = len(self._distinct)
        self._number = ""  # of the object that is being made
        self._at: tuple[str, int] | None = None  # within a loop, as in the arguments

    def _cleanup_label(self) -> str:
        return self._failed

    def _keep(self, obj: str) -> None:
        self.memory.store("ptr", obj, self.memory.result(self._number))

    def _place(self, leaf: Leaf) -> str:
        number = str(self.arguments.places[leaf.buffer])
        if self._at is not None:
            number = self.memory.sum(*self._at)
        return self.memory.load("ptr", self.memory.table(number))

    def _made_array(self, leaf: Leaf, obj: str, data: str) -> None:
        number = str(self.arguments.places[leaf.buffer])
        if self._at is not None:
            number = self.memory.sum(*self._at)
        self.memory.store("ptr", data, self.memory.table(number))

    # -- leaves ------------------------------------------------------------------------------------

    def _runs(self) -> list[tuple[int, int]]:
        """Distinct leaves, cut where one is not as the one before, side by side with it."""
        if not self._distinct:
            return []
        places = {leaf.buffer: self.arguments.places.get(leaf.buffer, -2) for leaf in self._found}
        ends = _ends(self._distinct, places)
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def _each(self, start: int, end: int, make: Any) -> None:
        """``make(leaf)`` for a run of distinct leaves."""
        if end - start < thresholds.alike:
            for n in range(start, end):
                self._number = str(n)
                make(self._distinct[n])
            return
        leaf = self._distinct[start]

        def body(n: str, _: list[str]) -> list[str]:
            self._number = self.memory.sum(n, start)
            self._at = n, self.arguments.places[leaf.buffer]
            make(leaf)
            self._at = None
            return []

        self.e.counted_loop(end - start, body)

    def allocate(self) -> None:
        for start, end in self._runs():
            leaf = self._distinct[start]
            if leaf.kind == "argument":
                for n in range(start, end):
                    self._number = str(n)
                    obj = self.arguments.object_of(self._distinct[n].buffer)
                    self.e.line(f"call void @Py_IncRef(ptr {obj})")
                    self._keep(obj)
            elif leaf.kind == "array":
                self._each(start, end, self._new_array)

    def finish(self) -> None:
        e = self.e
        for start, end in self._runs():
            if self._distinct[start].kind not in ("argument", "array"):
                self._each(start, end, lambda leaf: self._own(self._new_scalar(leaf)))
        root = self._object(self._build(self.spec.result))
        e.line(f"call void @Py_IncRef(ptr {root})")
        before, last = e.current_label, e.label("end")
        e.line(f"br label %{last}")
        e.start(self._failed)
        e.line(f"br label %{last}")
        e.start(last)
        result = e.value(f"phi ptr [ {root}, %{before} ], [ null, %{self._failed} ]")

        def drop(n: str, _: list[str]) -> list[str]:
            obj = self.memory.load("ptr", self.memory.result(n))
            e.line(f"call void @Py_DecRef(ptr {obj})")  # null is fine
            return []

        e.counted_loop(self.memory.objects, drop)
        self.arguments.release_memory()
        e.line(f"ret ptr {result}")

    # -- containers --------------------------------------------------------------------------------

    def _object(self, made: Any) -> str:
        """The object of a number; of a constant, the constant."""
        if type(made) is int:
            return self.memory.load("ptr", self.memory.result(str(made)))
        return object_pointer(self.e, made.value)

    @deep
    def _build(self, tree: Result) -> Generator[Any, Any, Any]:
        """The number of the object for a part of the result, or the constant that it is."""
        if isinstance(tree, Leaf):
            return self._numbers[tree.kind, tree.buffer]
        if not isinstance(tree, Node):
            return tree
        children: list[Any] = []
        for child in tree.children:
            children.append((yield self._build.step(child)))
        count = len(children)
        call = {
            "tuple": f"@PyTuple_New(i64 {count})",
            "list": f"@PyList_New(i64 {count})",
            "dict": "@PyDict_New()",
        }[tree.kind]
        obj = self.e.value(f"call ptr {call}", tree.kind)
        number, self._next = self._next, self._next + 1
        self._number = str(number)
        self._own(obj)
        if tree.kind == "dict":
            for key, made in zip(tree.keys, children, strict=True):
                self._set_item(obj, key, self._object(made))
        elif children:
            base, first = obj, capi.ITEMS
            if tree.kind == "list":
                base, first = self.arguments.field("ptr", obj, capi.HEAD + 8), 0
            self._fill(base, first, children)
        return number

    def _set_item(self, obj: str, key: Any, value: str) -> None:
        e = self.e
        status = e.value(
            f"call i32 @PyDict_SetItem(ptr {obj}, ptr {object_pointer(e, key)}, ptr {value})"
        )
        bad, fine = e.value(f"icmp ne i32 {status}, 0"), e.label("fine")
        e.line(f"br i1 {bad}, label %{self._failed}, label %{fine}")
        e.start(fine)

    def _fill(self, base: str, first: int, children: list[Any]) -> None:
        """Put objects into a new tuple or list. Nothing here can fail."""
        e, start = self.e, 0
        while start < len(children):
            end = start + 1
            while (
                end < len(children)
                and type(children[start]) is int
                and type(children[end]) is int
                and children[end] - children[start] == end - start
            ):
                end += 1
            if end - start < thresholds.alike:
                end = start + 1
            place, made = start, children[start]

            def put(n: str, _: list[str], place: int = place, made: Any = made) -> list[str]:
                number = self.memory.sum(n, made) if type(made) is int else ""
                obj = (
                    self.memory.load("ptr", self.memory.result(number))
                    if number
                    else self._object(made)
                )
                e.line(f"call void @Py_IncRef(ptr {obj})")
                at = e.value(f"getelementptr i8, ptr {base}, i64 {first + 8 * place}", "p")
                at = e.value(f"getelementptr ptr, ptr {at}, i64 {n}", "p")
                e.line(f"store ptr {obj}, ptr {at}")
                return []

            e.counted_loop(end - start, put)
            start = end
