"""Parallel loops: the iterations cut into chunks, the chunks shared out among threads.

The chunks depend on the loop's extent alone, never on the number of threads, and run the same code
when there is one thread. A carried value gets one partial result per chunk; the partial results
are combined in the order of the chunks. So the bits of a result are the same for every number of
threads.

The body becomes a function over a range of iterations (its buffers are ``noalias`` parameters
again). It is put into a second one that runs chunks by number out of a context, an array on the
caller's stack that holds the pointers and values that the body needs: one by one where each has
partial results, else as one range. The pool (``pool.py``) calls it in several
threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...records import record, replace
from ...thresholds import thresholds
from ..ir import Block, Const, Contract, Let, Loop, Var, walk
from . import pool
from .cost import UNKNOWN, operations
from .emit import buffers_of
from .machine import Machine
from .program import bind_parameters, parameters
from .split import uses
from .stops import return_if_stopped
from .types import memory_type, value_type
from .vector_plan import IDENTITIES, combining_lets, plan_loop

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["as_single", "write_loop"]


def _is_innermost(loop: Loop) -> bool:
    return not any(isinstance(s, (Loop, Contract)) for s in walk(loop.body))


def as_single(loop: Loop, machine: Machine) -> Loop:
    """The same loop for one thread: in vectors where it is innermost and can be, else serial."""
    in_vectors = _is_innermost(loop) and plan_loop(loop, machine) is not None
    return replace(loop, mode="vector" if in_vectors else "serial")


def _grain(loop: Loop, machine: Machine) -> int:
    """The iterations of which chunks of an innermost loop are multiples: whole cache lines, and
    whole vectors. The rest of a vector may round otherwise than a vector, so what is in it must not
    depend on where threads meet."""
    plan = plan_loop(loop, machine)
    return max(thresholds.chunk_grain, 64 if plan is None else plan.width * plan.copies)


def _is_worth_it(loop: Loop) -> bool:
    extent = loop.extent if isinstance(loop.extent, int) else UNKNOWN
    return extent > 1 and extent * _operations(loop) >= thresholds.thread_from


def _operations(loop: Loop) -> int:
    """Operations of an iteration; one that only copies counts as one."""
    return max(1, operations(loop.body))


def _size(loop: Loop) -> int:
    """Operations of all iterations; multiply-adds of contractions run about eight at a time."""
    extent = loop.extent if isinstance(loop.extent, int) else UNKNOWN
    together = 8 if any(isinstance(s, Contract) for s in walk(loop.body)) else 1
    return min(extent * _operations(loop) // together, 2**62)


def write_loop(e: Emitter, loop: Loop) -> bool:
    """Write a parallel loop for several threads. False, and nothing written, when that does not
    pay or a value is carried in another way than by reductions."""
    extent = e.extent(loop.extent)
    if isinstance(extent, int):  # also what a literal or a value that is known by now says
        loop = replace(loop, extent=extent)
    combines = combining_lets(loop)
    if combines is None or not _is_worth_it(loop):
        return False
    _ParallelLoop(e, loop, [let.op for let in combines]).write()
    return True


@record(frozen=True, slots=True)
class _Cut:
    """How the iterations are cut: ``count`` chunks of ``unit``, of ``extent`` iterations."""

    count: int
    unit: str
    extent: str


class _ParallelLoop:
    def __init__(self, e: Emitter, loop: Loop, ops: list[str]) -> None:
        self.e = e
        self.loop = loop
        self.ops = ops
        self.combines = combining_lets(loop) or ()
        self.buffers = e.buffers_of(loop.body)
        self.scratch = None
        if len(self.buffers) > len(buffers_of(loop.body)) and pool.register():
            self.scratch = self.buffers.pop()  # every thread has its own
        inner = uses(replace(loop, inits=(), extent=0)) - {*e.program.sizes}
        self.live = sorted(inner, key=lambda v: v.id)
        self.name = e.global_name(f"{e.function_name}_parallel")[1:]

    def write(self) -> None:
        """Write the three functions, and in the current one the call and the combination."""
        e, loop = self.e, self.loop
        cut = self._cut()
        _register(e)
        partials = e.entry_alloca("i64", count=max(1, cut.count * len(loop.params)))
        self._write_body()
        slots = self._slots(cut, partials)
        context = e.entry_alloca("i64", count=len(slots))
        for n, (kind, value) in enumerate(slots):
            e.line(f"store {kind} {value}, ptr {self._slot(context, n)}, align 8")
        self._write_chunks(cut, slots)
        self._start(context, cut)
        return_if_stopped(e)
        results = self._combine(cut, partials)
        for var, text in zip(loop.results, results, strict=True):
            e.bind(var, text)

    # -- the pieces of work ------------------------------------------------------------------------

    def _cut(self) -> _Cut:
        e = self.e
        grain = _grain(self.loop, e.machine) if _is_innermost(self.loop) else 1
        extent = e.extent(self.loop.extent)
        if isinstance(extent, int):
            most = thresholds.chunks
            if grain > 1 and not self.loop.params:  # results do not depend on the chunks
                most = min(most, max(4, extent * _operations(self.loop) // thresholds.chunk))
            unit = -(-extent // (most * grain)) * grain
            return _Cut(-(-extent // unit), str(unit), str(extent))
        up = e.value(f"add i64 {extent}, {thresholds.chunks * grain - 1}")
        units = e.value(f"sdiv i64 {up}, {thresholds.chunks * grain}")
        return _Cut(thresholds.chunks, e.value(f"mul i64 {units}, {grain}", "unit"), extent)

    def _write_body(self) -> None:
        """``body(buffers, sizes, live values, first, count, partial results of the chunk)``."""
        e, loop = self.e, self.loop
        listed = [parameters(self.buffers, e)] if self.buffers or e.program.sizes else []
        listed += [f"{value_type(v.dtype)} %l{n}" for n, v in enumerate(self.live)]
        listed += ["ptr %stop"] if e.stop else []
        listed += ["i64 %first", "i64 %count", "ptr noalias %partial"]
        stop = e.stop
        header = f"define internal void @{self.name}({', '.join(listed)})"
        first, count, local = Var("i64"), Var("i64"), Var("i64", loop.var.hint)
        with e.function(header, attributes="#2" if e.plain_run else "#1"):
            bind_parameters(self.buffers, e)
            if stop:
                e.interruptible("%stop")  # workers hold no lock
            if self.scratch is not None:
                size = self.scratch.size
                e.bind_pointer(self.scratch, e.value(f"call ptr @symflux_scratch(i64 {size})"))
            for n, var in enumerate(self.live):
                e.bind(var, f"%l{n}")
            e.bind(first, "%first")
            e.bind(count, "%count")
            single = as_single(self._shifted(first, local, count), e.machine)
            e.statement(single)
            for n, (param, result) in enumerate(zip(loop.params, single.results, strict=True)):
                value = e.memory_value(e.operand(result), param.dtype)
                e.line(f"store {memory_type(param.dtype)} {value}, ptr {self._slot('%partial', n)}")
            e.line("ret void")

    def _shifted(self, first: Var, local: Var, count: Var) -> Loop:
        """The loop over ``first .. first + count - 1``, carrying from values that change
        nothing."""
        loop = self.loop
        start = Let(loop.var, "add", (local, first))
        inits = tuple(
            Const(IDENTITIES[op](p.dtype), p.dtype)
            for op, p in zip(self.ops, loop.params, strict=True)
        )
        body = Block((start, *loop.body.statements), loop.body.yields)
        results = tuple(Var(p.dtype) for p in loop.params)
        return Loop(local, count, body, loop.params, inits, results, loop.mode)

    # -- chunks and threads ------------------------------------------------------------------------

    def _slots(self, cut: _Cut, partials: str) -> list[tuple[str, str]]:
        """What the context holds, as (LLVM type, value): buffers, sizes, live values, the cut."""
        e = self.e
        slots = [("ptr", e.pointer(b)) for b in self.buffers]
        slots += [("i64", e.operand(s)) for s in e.program.sizes]
        slots += [(value_type(v.dtype), e.operand(v)) for v in self.live]
        slots += [("ptr", e.stop.flag)] if e.stop else []
        return [*slots, ("i64", cut.unit), ("i64", cut.extent), ("ptr", partials)]

    def _slot(self, base: str, n: int) -> str:
        return self.e.value(f"getelementptr i64, ptr {base}, i64 {n}", "s") if n else base

    def _write_chunks(self, cut: _Cut, slots: list[tuple[str, str]]) -> None:
        """``chunks(context, first, end)``: some of the chunks, one after the other."""
        e = self.e
        header = f"define internal void @{self.name}_chunks(ptr %context, i64 %from, i64 %to)"
        with e.function(header, attributes="#2"):
            e.drives()
            values = [
                e.value(f"load {kind}, ptr {self._slot('%context', n)}, align 8")
                for n, (kind, _) in enumerate(slots)
            ]
            passed = [f"{k} {v}" for (k, _), v in zip(slots[:-3], values[:-3], strict=True)]
            unit, extent, partials = values[-3:]

            def run(start: str, end: str, partial: str) -> None:
                places = []
                for c in (start, end):
                    place = e.value(f"mul i64 {c}, {unit}")
                    places.append(e.value(f"call i64 @llvm.smin.i64(i64 {place}, i64 {extent})"))
                count = e.value(f"sub i64 {places[1]}, {places[0]}")
                listed = [*passed, f"i64 {places[0]}", f"i64 {count}", f"ptr {partial}"]
                e.line(f"call void @{self.name}({', '.join(listed)})")

            def body(variable: str, _: list[str]) -> list[str]:
                chunk = e.value(f"add i64 {variable}, %from")
                own = e.value(f"mul i64 {chunk}, {len(self.loop.params)}")
                partial = e.value(f"getelementptr i64, ptr {partials}, i64 {own}")
                run(chunk, e.value(f"add i64 {chunk}, 1"), partial)
                return []

            if self.loop.params:
                e.counted_loop(e.value("sub i64 %to, %from"), body, hint="chunk")
            else:
                run("%from", "%to", partials)
            e.line("ret void")

    def _start(self, context: str, cut: _Cut) -> None:
        """Run all chunks: in as many threads as the knob says, or here."""
        e = self.e
        e.drives()
        here = f"call void @{self.name}_chunks(ptr {context}, i64 0, i64 {cut.count})"
        if not _register(e):
            e.line(here)
            return
        count = e.value("load atomic i32, ptr @symflux_threads monotonic, align 4", "threads")
        several, single, after = e.label("several"), e.label("single"), e.label("after")
        e.line(f"br i1 {e.value(f'icmp sgt i32 {count}, 1')}, label %{several}, label %{single}")
        e.start(several)
        e.line(
            f"call void @symflux_parallel(ptr @{self.name}_chunks, ptr {context}, "
            f"i32 {count}, i64 {cut.count}, i64 {_size(self.loop)})"
        )
        e.line(f"br label %{after}")
        e.start(single)
        e.line(here)
        e.line(f"br label %{after}")
        e.start(after)

    def _combine(self, cut: _Cut, partials: str) -> list[str]:
        """The start values combined with the partial results of all chunks, in order."""
        e, loop = self.e, self.loop
        if not loop.params:
            return []

        def body(chunk: str, carried: list[str]) -> list[str]:
            own = e.value(f"mul i64 {chunk}, {len(loop.params)}") if chunk != "0" else "0"
            base = e.value(f"getelementptr i64, ptr {partials}, i64 {own}")
            following = []
            for n, (param, let) in enumerate(zip(loop.params, self.combines, strict=True)):
                kind = memory_type(param.dtype)
                value = e.value(f"load {kind}, ptr {self._slot(base, n)}, align 8")
                value = e.loaded_value(value, param.dtype)
                following.append(e.operation(let, [carried[n], value]))
            return following

        pairs = zip(loop.params, loop.inits, strict=True)
        inits = [(value_type(p.dtype), e.operand(i)) for p, i in pairs]
        return e.counted_loop(cut.count, body, inits=inits, hint="chunk")


def _register(e: Emitter) -> bool:
    """Declare the pool's functions in the module, once; False when there is none."""
    if not pool.register():
        return False
    if "threads" not in e.helpers:
        e.helpers["threads"] = "symflux_parallel"
        e.services.add("threads")
        e.add_function(pool.SYMBOLS)
    return True
