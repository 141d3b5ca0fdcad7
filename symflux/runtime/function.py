"""The compiled function: a native call for the signature that ran last, a Python path for the
rest."""

from __future__ import annotations

import inspect
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import forking, tree
from ..boundary import boundary
from ..codegen.llvm.callspec import OUT, CallSpec
from ..codegen.llvm.capi import entry_address
from ..codegen.llvm.image import repoint
from ..codegen.llvm.vectorcall import Pointed, direct, point, pointed
from ..codegen.llvm.words import Words
from ..collector import collector_paused
from ..errors import NotRunYet
from ..frames import shorten, user_frame
from ..ir.graph import Graph
from ..records import record, replace
from ..trace.arguments import Static, leaf_type, mark_static
from ..trace.containers import refill
from ..trace.param import Param
from ..trace.passed import detached
from ..trace.promote import literal_scalar
from ..trace.scope import is_tracing
from ..trace.trace import Traced, raise_by_number, trace
from .execute import flat_entry, guarded, native_entry, plain
from .kept import LIMIT, Kept
from .lift import Lifter
from .lowered import Lowered, Text, report
from .recording import Recorder
from .signature import direct_spec, with_out
from .surroundings import Observation, is_fixed
from .unrolled import told
from .wrapping import Wrapping, loaded
from .written import check_written, fill, given_back, own, separate, targets

if TYPE_CHECKING:
    from ..codegen.cost import ProgramCost
    from ..codegen.llvm.entry import Entry
    from .profile import Profile
    from .stages import Stages

__all__ = ["Call", "CompiledFunction", "Options", "Specialization"]


@record(frozen=True, slots=True)
class Options:
    """How a function is compiled.

    ``static_argnums`` and ``static_argnames`` are arguments passed to Python as they are;
    ``donate`` names arguments whose memory the results may overwrite; ``declared`` are the dtypes
    of the positional arguments, where the function was given them. With ``write_back``, arrays
    among the arguments change as the function changes them."""

    static_argnums: tuple[int, ...] = ()
    static_argnames: tuple[str, ...] = ()
    donate: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    write_back: bool = False


def _declared(value: Any, dtype: str) -> Any:
    """A Python integer as a scalar of the narrower integer dtype that is declared for it.

    Raises:
        RangeError: if it does not fit.
    """
    if type(value) is not int or dtype[0] not in "iu" or dtype == "i64":
        return value
    return literal_scalar(value, dtype)


def _value(leaf: Any) -> Any:
    """A leaf as a number or ndarray."""
    return leaf.value if type(leaf) is Param else leaf


class Call:
    """One call: its arguments taken apart, and the trace that fits them (made or set later)."""

    traced: Traced

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: Options,
    ) -> None:
        self.fn = fn
        self.write_back = options.write_back
        if options.declared:
            known = options.declared[: len(args)]
            args = (*map(_declared, args, known), *args[len(known) :])
        self.marked = mark_static(
            fn, args, dict(kwargs), options.static_argnums, options.static_argnames
        )
        self.leaves, self.structure = tree.flatten(self.marked)

    def trace(self, lifter: Lifter | None = None) -> Call:
        """Record the function for these arguments."""
        self.traced = trace(self.fn, *self.marked, lifter=lifter, write_back=self.write_back)
        return self

    def settings(self) -> list[Any]:
        """The static arguments that may change."""
        args, kwargs = self.marked
        given = [a.value for a in (*args, *kwargs.values()) if type(a) is Static]
        return [v for v in given if not is_fixed(v)]

    def values(self) -> list[Any]:
        """All inputs of the graph: the leaves, then the captured arrays."""
        for i, dtypes in self.traced.bounds.items():
            for dtype in dtypes:
                literal_scalar(self.leaves[i], dtype)  # RangeError where it does not fit
        return [_value(v) for v in (*self.leaves, *self.traced.captures)]

    def finish(self, outputs: Sequence[Any]) -> Any:
        """The function's result from the graph's outputs; updated params are written."""
        return finish(self.traced, self.values(), outputs)


def finish(traced: Traced, values: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """Write updated params and arrays, unless that was done in place, and rebuild the result's
    containers."""
    if traced.failure is not None:
        raise_by_number(traced.errors, outputs[traced.failure])
    first = len(traced.arguments.types)
    pairs = [(i, o) for i, o in traced.argument_updates.items()]
    pairs += [(first + i, o) for i, o in traced.updates.items()]
    for i, o in pairs:
        if outputs[o] is not values[i]:
            values[i][...] = outputs[o]
    count = len(traced.out_tree)
    return traced.out_tree.unflatten(
        [_as_python(v) if w else v for v, w in zip(outputs[:count], traced.weak, strict=True)]
    )


def _as_python(value: Any) -> Any:
    """A Python number for a result that is one by Python's own rules."""
    return value.item() if isinstance(value, np.generic) else value


def signature(leaves: Sequence[Any], structure: tree.TreeDef) -> Any:
    """What a specialization is found by: structure, types, and which leaves are Python numbers."""
    kinds: list[Any] = []
    for leaf in leaves:
        if type(leaf) is np.ndarray:
            kinds.append((leaf.dtype, leaf.shape))
        elif type(leaf) is Param:  # params are told apart: the function may use them by identity
            kinds.append((id(leaf), leaf.value.dtype, leaf.value.shape))
        else:
            kinds.append((leaf_type(leaf), type(leaf)))
    return structure, tuple(kinds)


class Specialization:
    """One signature of a function: its graph at every level and its native entry.

    ``direct`` says that the entry takes the user's arguments as they are; otherwise it takes all
    leaves and captures flat."""

    def __init__(
        self, call: Call, options: Options, fallback: Callable[..., Any], seen: Observation
    ) -> None:
        self.traced = call.traced
        self.words = Words()
        self.seen = seen
        watched = seen.watch(self.words)
        from .stages import make_stages  # the passes are loaded by the first compilation

        self.stages: Stages = make_stages(self.traced.graph, _donations(self.traced, options))
        captured = [_value(c) for c in self.traced.captures]
        #: arrays whose elements were read while tracing, where the function writes to others
        self._constants: list[np.ndarray[Any, Any]] = []
        if self.traced.written:
            known = set(map(id, captured))
            self._constants = [a for a in seen.arrays() if id(a) not in known]
        spec: CallSpec | None = None
        if watched and not guarded():
            words = self.words if len(seen.reads) > 1 else None  # more than its code
            spec = direct_spec(
                self.traced, self.stages, call.leaves, captured, fallback, words, self._constants
            )
        self.direct = spec is not None
        self._spec = spec
        self.entry: Entry = (
            native_entry(self.stages, spec) if spec is not None else flat_entry(self.stages)
        )
        self._flat: Entry | None = None if self.direct else self.entry
        #: calls may still be on their way through these
        self.replaced: list[tuple[CallSpec, Entry]] = []
        numbers = {id(a): n for n, a in enumerate(seen.arrays())}
        self._numbers = [numbers.get(id(c)) for c in self.traced.captures]
        self._turns = 0
        self.used = 0  # when Python last chose it
        self.retired = False
        report(self.stages, self.entry)

    def call(self, call: Call) -> Any:
        """The result for arguments of this signature, whatever their layout."""
        donate = self.stages.donate
        given = call.values()
        check_written(given, self.traced, self._constants)
        donated = set(donate.values())
        values = [
            own(v, x.type) if i in donated else plain(v, x.type)
            for i, (v, x) in enumerate(zip(given, self.stages.graph.inputs, strict=True))
        ]
        separate(given, values, donated, self.traced)
        if self._flat is None:
            self._flat = flat_entry(self.stages)
        results = iter(self._flat.call(*values))
        for i in donated:  # where the memory could not be used as it is, the values are copied back
            values[i] = given_back(given[i], values[i])
        outputs = [
            values[donate[o]] if o in donate else next(results)
            for o in range(len(self.stages.graph.outputs))
        ]
        if self.traced.failure is not None:
            raise_by_number(self.traced.errors, outputs[self.traced.failure])
        if self.traced.changes is not None:
            changes = self.traced.changes
            made = outputs[len(outputs) - len(changes.weak) :]
            made = [_as_python(v) if w else v for v, w in zip(made, changes.weak, strict=True)]
            refill(call.marked, changes, call.leaves, made)
        return finish(self.traced, values, outputs)

    def look_at(self, seen: Observation) -> None:
        """Read the arrays and watch the places of another observation of the same facts, or the
        same places where they lie now (a dict that grew)."""
        if seen is self.seen and (not self.direct or self.words.hold()):
            return
        turn = -1
        while turn != self._turns:  # again, if a handler of a signal came here meanwhile
            turn = self._turns = self._turns + 1
            self.words.withdraw()
            self._read_others(seen.arrays())
            self.seen = seen
            if self.direct and not seen.watch(self.words):
                self.direct = False

    def _read_others(self, now: list[Any]) -> None:
        """Read these arrays of the surroundings, and those that params hold now."""
        pairs = zip(self.traced.captures, self._numbers, strict=True)
        captures = tuple([c if n is None else now[n] for c, n in pairs])
        if any(c is not old for c, old in zip(captures, self.traced.captures, strict=True)):
            self.traced = replace(self.traced, captures=captures)
        if self._spec is None:
            return
        values = [_value(c) for c in captures]
        if all(v is old for v, (_, old) in zip(values, self._spec.captures, strict=True)):
            return
        self.direct &= all(
            repoint(e.call, s, values) for s, e in (*self.replaced, (self._spec, self.entry))
        )
        if self.direct:
            names = [name for name, _ in self._spec.captures]
            new = tuple(zip(names, values, strict=True))
            self.replaced = [(replace(s, captures=new), e) for s, e in self.replaced]
            self._spec = replace(self._spec, captures=new)

    def accept_out(self) -> None:
        """From now on take ``out`` natively, where that can be."""
        spec = None if self._spec is None or self._spec.out is not None else with_out(self._spec)
        if spec is not None and self._spec is not None:
            self.replaced.append((self._spec, self.entry))
            self._spec = spec
            self.entry = native_entry(self.stages, spec)


def _donations(traced: Traced, options: Options) -> dict[int, int]:
    """Output position -> input position: updated params and written arrays, then results in
    donated arguments."""
    first = len(traced.arguments.types)
    pairs = {output: i for i, output in traced.argument_updates.items()}
    pairs |= {output: first + i for i, output in traced.updates.items()}
    graph = traced.graph
    taken = set(pairs.values())
    roots = [name.split(".")[0].split("[")[0] for name in traced.arguments.names]
    free = [
        i
        for i, root in enumerate(roots)
        if root in options.donate
        and i not in taken
        and not traced.arguments.weak[i]
        and graph.inputs[i].shape != ()
    ]
    for position, y in enumerate(graph.outputs):
        if position not in pairs:
            match = next((i for i in free if graph.inputs[i].type == y.type), None)
            if match is not None:
                free.remove(match)
                pairs[position] = match
    return pairs


class _Trying(threading.local):
    """Whether this thread is trying a native entry after the slow path chose it."""

    active = False


class _State:
    """What a compiled function owns. The native entry refers back to it weakly, so that dropping
    the function frees everything at once."""

    def __init__(self, fn: Callable[..., Any], options: Options, owner: CompiledFunction) -> None:
        self.fn = fn
        self.options = options
        self.owner = weakref.ref(owner)
        self.made = Kept()
        self.last: Specialization | None = None
        self.lock = forking.lock()
        self.gate = forking.lock()  # never held for long
        self.pointing = 0
        self.trying = _Trying()
        self.takes_out = _takes_out(fn)
        self.recorder = Recorder(fn)
        #: the same for static arguments that may change, by their ids
        self.recorders: dict[tuple[int, ...], Recorder] = {}

    def recorder_of(self, call: Call) -> Recorder:
        """What looks at the surroundings of a call: the function and its static arguments."""
        settings = call.settings()
        if not settings:
            return self.recorder
        key = tuple(map(id, settings))
        found = self.recorders.get(key)
        if found is None:
            found = self.recorders.setdefault(key, self.recorder.given(settings))
            while len(self.recorders) > LIMIT:
                self.recorders.pop(next(iter(list(self.recorders))), None)
        return found

    def find(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Specialization, Call]:
        """The specialization for these arguments, compiled where it is new."""
        call = Call(self.fn, args, kwargs, self.options)
        key = signature(call.leaves, call.structure)
        recorder = self.recorder_of(call)
        seen = recorder.observe()
        found = self.made.find(key, seen.facts)
        if found is None:
            with self.lock:
                seen = recorder.observe()
                found = self.made.find(key, seen.facts)
                if found is None:
                    fallback = _fallback(weakref.ref(self))
                    start = time.perf_counter()
                    with collector_paused():
                        seen = recorder.record(call)
                        with told(call.traced.graph, start):
                            new = Specialization(call, self.options, fallback, seen)
                    # a handler of a signal may have called this function, and made one, meanwhile:
                    # calls go through its code already
                    found, crowded = self.made.add(key, seen.facts, new)
                    if crowded:
                        self.free()
        with self.gate:
            found.look_at(seen)
        self.last = found
        call.traced = found.traced
        return found, call

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The slow path: any arguments. Inside a trace the function becomes part of that graph."""
        if is_tracing():
            if not self.options.write_back:
                args, kwargs = detached((args, kwargs))
            return self.fn(*args, **kwargs)
        if OUT in kwargs and not self.takes_out:
            return self.into(kwargs.pop(OUT), args, kwargs)
        found, call = self.find(args, kwargs)
        if found.direct:
            self.go_through(found)
            if not kwargs and not self.trying.active:
                # what the entry refuses comes back here, and goes on below
                self.trying.active = True
                try:
                    return found.entry.call(*args)
                finally:
                    self.trying.active = False
        return found.call(call)

    def into(self, out: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The slow path of a call that gives arrays for its results."""
        found, call = self.find(args, kwargs)
        if out is None:
            return found.call(call)
        arrays = targets(out, found.traced)
        results, _ = tree.flatten(found.call(call))
        fill(arrays, results)
        if found.direct and not kwargs:
            found.accept_out()
            self.go_through(found)
        return out

    def go_through(self, found: Specialization) -> None:
        """Let calls begin in a specialization's native entry from now on."""
        owner = self.owner()
        if owner is None:
            return
        with self.gate:
            self.pointing += 1  # a handler of a signal may come here as well
            if found.retired:  # since it was found; the code of all others is kept by ``made``
                self.made.retire(found)
            owner.__call__ = found.entry.call
            point(owner, entry_address(found.entry.call))
            self.pointing -= 1

    def free(self) -> None:
        """Free what gave way: code that no call is in, and arrays that were noted for it."""
        with self.gate:
            owner = self.owner()
            if owner is None or self.pointing:
                return
            self.made.free(pointed(owner))
        recorders = [self.recorder, *list(self.recorders.values())]
        seen = [s.seen for s in self.made.all()]
        seen += [r.seen for r in recorders if r.seen is not None]
        met = {id(r.holder) for s in seen for r in s.reads if r.kind == "array"}
        for noted in (self.recorder.changing, self.recorder.needed):
            for i in [i for i in list(noted) if i not in met]:
                noted.pop(i, None)


def _takes_out(fn: Callable[..., Any]) -> bool:
    """Whether a function has an argument ``out`` of its own, which then is the user's."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == OUT or p.kind is p.VAR_KEYWORD for p in parameters)


def _fallback(state: weakref.ref[_State]) -> Callable[..., Any]:
    def fallback(*args: Any, **kwargs: Any) -> Any:
        alive = state()
        if alive is None:
            raise ReferenceError("the compiled function that this native code belonged to is gone")
        try:
            return alive.call(*args, **kwargs)
        except Exception as error:
            shorten(error)
            raise

    return fallback


@direct
class CompiledFunction(Pointed, Wrapping):
    """A function compiled to native code, one specialization per signature.

    Calling it with arguments of the signature that ran last costs some tens of nanoseconds
    beside the work itself; other signatures are found (or traced and compiled) in Python first.

    ``f(*args, out=arrays)`` writes the results into arrays that are there: one array, or a
    container of the result's structure (0-d arrays for scalars; dtypes and shapes equal). It
    returns ``out``. A function with an argument ``out`` of its own keeps it.

    Made by :func:`symflux.compile`. ``graph``, ``kernels``, ``llvm_ir`` and ``asm`` show the
    generated code of the last signature; ``lower(*args)`` shows it for given arguments without
    running, and ``profile(*args)`` says what its kernels take.
    """

    __slots__ = ("__call__", "__dict__", "__weakref__", "_state")

    @boundary
    def __init__(self, fn: Callable[..., Any], options: Options) -> None:
        if hasattr(self, "_state"):  # calls go straight into the code that it keeps
            raise TypeError(f"{self!r} is made already; sf.compile(fn) makes another one")
        self._take_names(fn)
        self._state = _State(fn, options, self)
        self.__call__ = _fallback(weakref.ref(self._state))

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self._state.fn

    @property
    def __name__(self) -> str:
        return getattr(self._state.fn, "__name__", "function")

    @property
    def statics(self) -> Options:
        """Which arguments are static: they are for functions derived from this one, too."""
        options = self._state.options
        return Options(options.static_argnums, options.static_argnames)

    def _again(self, fn: Callable[..., Any], bound: bool = False) -> CompiledFunction:
        options = self._state.options
        if bound:
            numbers = tuple(n - 1 if n > 0 else n for n in options.static_argnums if n != 0)
            options = replace(options, static_argnums=numbers)
        return CompiledFunction(fn, options)

    def _maker(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _loaded, (self._state.options,)

    def __repr__(self) -> str:
        count = len(self._state.made)
        return f"<compiled {self.__name__}, {count} signature{'' if count == 1 else 's'}>"

    @boundary
    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Every level of the generated code for these arguments, without running it."""
        found, _ = self._state.find(args, kwargs)
        return Lowered(found.stages, found.entry)

    @boundary
    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """How long each kernel takes for these arguments, its share of the time, and how far it
        is from what the machine can do. Arguments are not changed. Prints as a table.

        The kernels are compiled once more with a clock around each, and run for a quarter of a
        second; the machine's limits are measured by the first call of a process (two seconds).

        Raises:
            UnsupportedOperation: on systems without a POSIX clock.
        """
        from .profile import profile

        found, call = self._state.find(args, kwargs)
        return profile(found.stages, call.values())

    def _shown(self) -> Lowered:
        found = self.specialization()
        return Lowered(found.stages, found.entry)

    @property
    @boundary
    def graph(self) -> Graph:
        """The optimised graph of the signature that ran last."""
        return self._shown().optimized

    @property
    @boundary
    def kernels(self) -> Text:
        """The loops of the signature that ran last."""
        return self._shown().kernels

    @property
    @boundary
    def llvm_ir(self) -> Text:
        """LLVM IR of the signature that ran last, as generated."""
        return self._shown().llvm_ir

    @property
    @boundary
    def llvm_optimized(self) -> Text:
        """LLVM IR of the signature that ran last, after LLVM's passes."""
        return self._shown().llvm_optimized

    @property
    @boundary
    def asm(self) -> Text:
        """Assembly of the signature that ran last."""
        return self._shown().asm

    @property
    @boundary
    def cost(self) -> ProgramCost:
        """Cost of the signature that ran last."""
        return self._shown().cost

    def specialization(self) -> Specialization:
        """What ran last.

        Raises:
            NotRunYet: if nothing has run yet.
        """
        if self._state.last is None:
            raise NotRunYet(
                f"{self.__name__} has not run yet: there is no code of it",
                place=user_frame(),
                right="f(*args)\nf.lower(*args)       # without running it",
            )
        return self._state.last


def _loaded(fn: Any, options: Options) -> CompiledFunction:
    """The compiled function that a pickle held."""
    return CompiledFunction(loaded(fn), options)
