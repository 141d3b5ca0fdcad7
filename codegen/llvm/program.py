"""The functions of a module: one per kernel, ``run`` over all of them, scratch memory, ``call``.

Scratch memory (the arena) up to 64 KiB is on the stack. A larger one is kept in a slot of the
module: a call takes it out with an atomic exchange, allocates only when the slot is empty, and
puts it back afterwards, so that repeated calls allocate nothing and calls from several threads
never share it.
"""

from __future__ import annotations

from collections.abc import Callable

from ...thresholds import thresholds
from ..ir import BYTES, Buffer, Kernel, Program, Role
from . import interrupts, stops
from .emit import Emitter, is_written
from .split import is_long
from .tables import constant_memory

__all__ = ["write_program"]

_ARENA = """
@arena_slot = internal global ptr null, align 8

declare noalias ptr @malloc(i64)
declare void @free(ptr)

define internal ptr @arena_take() #0 {{
entry:
  %kept = atomicrmw xchg ptr @arena_slot, ptr null acquire
  %empty = icmp eq ptr %kept, null
  br i1 %empty, label %allocate, label %done
allocate:
  %new = call ptr @malloc(i64 {bytes})
  br label %done
done:
  %memory = phi ptr [ %kept, %entry ], [ %new, %allocate ]
  ret ptr %memory
}}

define internal void @arena_put(ptr %memory) #0 {{
entry:
  %other = atomicrmw xchg ptr @arena_slot, ptr %memory acq_rel
  call void @free(ptr %other)
  ret void
}}

define void @release() #0 {{
entry:
  %kept = atomicrmw xchg ptr @arena_slot, ptr null acquire
  call void @free(ptr %kept)
  ret void
}}
"""


def _parameter(buffer: Buffer, overlapping: set[Buffer]) -> str:
    """A kernel's parameter for a buffer, with every promise that is true of it."""
    words = ["ptr"]
    if buffer not in overlapping:
        words.append("noalias")
    words.append("noundef nonnull")
    if not is_written(buffer.role):
        words.append("readonly")
    if isinstance(buffer.size, int) and buffer.size > 0:
        words.append(f"dereferenceable({buffer.size * BYTES[buffer.dtype]})")
    aligned = 64 if buffer.role in (Role.TEMP, Role.CONST) else BYTES[buffer.dtype]
    words.append(f"align {aligned}")
    return " ".join(words)


def _overlapping(buffers: list[Buffer]) -> set[Buffer]:
    """The temporaries among ``buffers`` that share bytes with another of them."""
    found: set[Buffer] = set()
    temps = sorted(
        (b for b in buffers if b.role is Role.TEMP), key=lambda b: b.offset if b.offset else 0
    )
    end, last = -1, None
    for buffer in temps:
        start = buffer.offset or 0
        if last is not None and start < end:
            found |= {last, buffer}
        size = buffer.size if isinstance(buffer.size, int) else 1 << 60
        if start + size * BYTES[buffer.dtype] > end:
            end, last = start + size * BYTES[buffer.dtype], buffer
    return found


def parameters(buffers: list[Buffer], e: Emitter, shared: Buffer | None = None) -> str:
    """The parameter list of a function over ``buffers`` and the program's sizes.

    The function may reach ``shared`` through another pointer too."""
    overlapping = _overlapping(buffers) | {b for b in buffers if b is shared}
    items = [f"{_parameter(b, overlapping)} %b{n}" for n, b in enumerate(buffers)]
    items += [f"i64 %n{n}" for n in range(len(e.program.sizes))]
    return ", ".join(items)


def bind_parameters(buffers: list[Buffer], e: Emitter) -> None:
    """Bind buffers and sizes to the names that ``parameters`` gave them."""
    for n, buffer in enumerate(buffers):
        e.bind_pointer(buffer, f"%b{n}")
    for n, size in enumerate(e.program.sizes):
        e.bind(size, f"%n{n}")


def arguments(buffers: list[Buffer], e: Emitter) -> str:
    """The argument list of a call to a function over ``buffers``."""
    items = [f"ptr {e.pointer(b)}" for b in buffers]
    items += [f"i64 {e.operand(size)}" for size in e.program.sizes]
    return ", ".join(items)


class Passed:
    """How the buffers of a function come to it from the one that calls it.

    One by one, where the caller has no table of them all (``Emitter.by_table``). Otherwise
    temporaries are found in scratch memory, and, with ``table``, arguments in the table."""

    def __init__(self, buffers: list[Buffer], e: Emitter, table: bool) -> None:
        self._table = table
        self._arena = table or bool(e.table[1])
        self._single = buffers
        if self._arena:
            elsewhere = {Role.TEMP} if not table else {*Role} - {Role.CONST}
            self._single = [b for b in buffers if b.role not in elsewhere or e.has_pointer(b)]

    def parameters(self, e: Emitter) -> str:
        """The parameter list of the function."""
        listed = ["ptr noundef readonly %table"] if self._table else []
        listed += ["ptr noalias noundef %arena"] if self._arena else []
        return ", ".join(filter(None, (*listed, parameters(self._single, e))))

    def bind(self, e: Emitter) -> None:
        """Bind the names of the parameters, in the function."""
        bind_parameters(self._single, e)
        e.bind_table("%table" if self._table else "", "%arena" if self._arena else "")

    def arguments(self, e: Emitter) -> str:
        """The argument list of a call of it."""
        table, arena = e.table
        listed = [f"ptr {table}"] if self._table else []
        listed += [f"ptr {arena}"] if self._arena else []
        return ", ".join(filter(None, (*listed, arguments(self._single, e))))


def _write_kernel(
    e: Emitter, kernel: Kernel, name: str, passed: Passed, inline: bool, asks: str
) -> None:
    if kernel.note:
        e.add_function("\n".join(f"; {line}" for line in kernel.note.splitlines()))
    listed = passed.parameters(e)
    if asks:
        listed = ", ".join(filter(None, (listed, "ptr %stop")))
    header = f"define internal void {name}({listed})"
    if e.by_table and is_long(kernel.body):  # only calls
        inline, apart = False, "#5"
    else:
        apart = "#2"
    attributes = apart if not inline else "#1" if e.weight <= thresholds.one_function else "#0"
    with e.function(header, attributes=attributes):
        passed.bind(e)
        if asks:
            e.interruptible("%stop", asks)
        e.block(kernel.body)
        e.line("ret void")


def _take_arena(e: Emitter, program: Program, given: bool) -> str | None:
    """The pointer to scratch memory in the function being written; None when none is needed.

    Memory from the heap may be missing: then the function returns 1."""
    if not program.arena:
        return None
    if given:
        return "%arena"
    if program.arena <= thresholds.stack_arena:
        return e.entry_alloca(f"[{program.arena} x i8]", align=64)
    raw = e.value("call ptr @arena_take()", "raw")
    missing = e.value(f"icmp eq ptr {raw}, null")
    failed, fine = e.label("failed"), e.label("fine")
    e.line(f"br i1 {missing}, label %{failed}, label %{fine}{e.rarely()}")
    e.start(failed)
    e.line("ret i32 1")
    e.start(fine)
    number = e.value(f"ptrtoint ptr {raw} to i64")
    up = e.value(f"add i64 {number}, 63")
    down = e.value(f"and i64 {up}, -64")
    gap = e.value(f"sub i64 {down}, {number}")
    e.raw_arena = raw
    return e.value(f"getelementptr i8, ptr {raw}, i64 {gap}", "arena")


#: More bytes than any machine can address; sums and products of a few such sizes fit into 64 bits.
_MOST = 2**60


def _check_sizes(program: Program) -> None:
    """Sizes are exact here, while those of machine code wrap around."""
    named = [(f"its buffer {b.name}", b.size * BYTES[b.dtype])
             for b in program.buffers if isinstance(b.size, int)]  # fmt: skip
    for what, size in (*named, ("its temporaries", program.arena)):
        if size > _MOST:
            raise MemoryError(f"{program.name} needs {size} bytes for {what}: no machine has that")


def write_program(
    e: Emitter,
    *,
    call: bool = True,
    clock: Callable[[Emitter, int, str], None] | None = None,
    asks: str = "",
    given_arena: bool = False,
) -> None:
    """Write kernels and ``@run`` of the emitter's program into its module; ``@call`` if asked.

    ``asks`` is the function that long kernels ask whether to stop (``stops.py``), if any.
    ``clock(e, number, line)`` writes the line that runs a kernel, and around it what it wants.
    With ``given_arena`` the caller has the scratch memory: its pointer follows the arguments."""
    program = e.program
    _check_sizes(program)
    heap = program.arena > thresholds.stack_arena and not given_arena
    if heap:
        e.add_function(_ARENA.format(bytes=program.arena + 64))
    inline = clock is None and not e.plain_run
    kernels = []
    for kernel in program.kernels:
        name = e.global_name(kernel.name)
        passed = Passed(e.buffers_of(kernel.body), e, e.by_table)
        asked = asks if asks and stops.asks(kernel.body) else ""
        _write_kernel(e, kernel, name, passed, inline, asked)
        kernels.append((name, passed, bool(asked)))

    taken = [] if e.by_table else list(program.arguments())
    items = ["ptr noundef readonly %table"] if e.by_table else []
    items += [f"{_parameter(b, set())} %b{n}" for n, b in enumerate(taken)]
    items += [f"i64 %n{n}" for n in range(len(program.sizes))]
    items += ["ptr noalias noundef nonnull align 64 %arena"] if given_arena else []
    constants = {b: constant_memory(e, b) for b in program.buffers if b.role is Role.CONST}
    attributes = "#5" if e.plain_run else "#2" if e.plain_entry else "#1"
    with e.function(f"define internal i32 @run({', '.join(items)})", attributes=attributes):
        bind_parameters(taken, e)
        arena = _take_arena(e, program, given_arena)
        if e.by_table:
            e.bind_table("%table", arena or "null")
        for buffer in program.buffers:
            if buffer.role is Role.CONST:
                e.bind_pointer(buffer, constants[buffer])
            elif buffer.role is Role.TEMP and not e.by_table:
                offset = f"getelementptr inbounds i8, ptr {arena}, i64 {buffer.offset}"
                e.bind_pointer(buffer, e.value(offset, "temp") if arena else "null")
        stop = e.entry_alloca("i32") if any(asked for _, _, asked in kernels) else ""
        stopped = e.label("stopped")
        if stop:
            e.line(f"store atomic i32 0, ptr {stop} monotonic, align 4")
        for number, (name, passed, may_stop) in enumerate(kernels):
            listed = passed.arguments(e)
            if may_stop:
                listed = ", ".join(filter(None, (listed, f"ptr {stop}")))
            line = f"call void {name}({listed})"
            if clock is None:
                e.line(line)
            else:
                clock(e, number, line)
            if may_stop:
                stops.go_if_stopped(e, stop, stopped)
        _leave_run(e, heap, 0)
        if stop:
            e.start(stopped)
            _leave_run(e, heap, interrupts.INTERRUPTED)
    if call:
        _write_call(e, program, given_arena)


def _leave_run(e: Emitter, heap: bool, status: int) -> None:
    if heap:
        e.line(f"call void @arena_put(ptr {e.raw_arena})")
    e.line(f"ret i32 {status}")


def _write_call(e: Emitter, program: Program, given_arena: bool) -> None:
    """``i32 @call(ptr argument_pointers, ptr sizes)``: the entry for ctypes and exported code."""
    with e.function("define i32 @call(ptr %pointers, ptr %sizes)"):
        items = ["ptr %pointers"] if e.by_table else []
        for n in range(0 if e.by_table else len(program.arguments())):
            slot = e.value(f"getelementptr ptr, ptr %pointers, i64 {n}")
            items.append(f"ptr {e.value(f'load ptr, ptr {slot}, align 8')}")
        for n in range(len(program.sizes)):
            slot = e.value(f"getelementptr i64, ptr %sizes, i64 {n}")
            items.append(f"i64 {e.value(f'load i64, ptr {slot}, align 8')}")
        if given_arena:
            slot = e.value(f"getelementptr ptr, ptr %pointers, i64 {len(program.arguments())}")
            items.append(f"ptr {e.value(f'load ptr, ptr {slot}, align 8')}")
        status = e.value(f"call i32 @run({', '.join(items)})")
        e.line(f"ret i32 {status}")
