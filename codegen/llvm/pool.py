"""The threads that run parallel loops: started when first needed, shared by all programs.

A parallel loop is a number of chunks and a function that runs a range of them. Whoever is free
takes the next chunk from a counter: the caller, and the workers that are awake. The caller waits
only for chunks that others have begun, never for a worker that has not come yet: when other
programs keep the processors busy, it simply does the work itself. That is where fork-join runtimes
lose, whose join waits for every thread of the team.

Small loops that follow each other are shared as long as workers keep up: once one was waited for,
another program has its core, and the caller works alone for a while.

Workers spin for some microseconds for the next loop, giving way to whoever else wants to run, and
then sleep on a condition variable. A second Python thread that comes to a parallel loop while the
workers are taken, and a parallel loop inside of another, run alone. Contractions inside of parallel
loops work in memory that every thread keeps for that (``symflux_scratch``); where there is none to
be had, a thread waits for it.

The code is written in LLVM IR on the functions of POSIX threads that the C library has; it is
compiled once in a process. There is none of it on systems without them: parallel loops run serially
there.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from ...once import once
from ...records import record
from .. import threads
from .code import offer, service_code
from .machine import host

__all__ = ["NOW", "SYMBOLS", "object_code", "register"]

#: What generated code refers to; declared in modules that hold parallel loops.
SYMBOLS = """\
@symflux_threads = external global i32
declare void @symflux_parallel(ptr, ptr, i32, i64, i64)
declare ptr @symflux_scratch(i64)
"""

#: Seconds that a worker without work waits before it sleeps, in rounds of one pause; every few of
#: them it gives way. A pause takes 10 to 50 ns, whatever the processor's maker chose.
_PATIENCE, _ROUNDS, _GIVE_WAY = 40e-6, 800, 100
#: Operations for which workers are woken, which takes microseconds. Smaller loops are shared with
#: workers that are awake; together they wake them when they have so many.
_WAKE_FROM = 250_000
#: Operations of small loops that run alone for each nanosecond that one was kept waiting by a
#: worker beyond a quarter of its patience: eight times as long, so that waiting is a tenth of the
#: time at most while another program has its core: for milliseconds, counted up to so many.
_WARY, _SLICE = 100, 10_000_000
#: The most workers.
_MOST = 255

#: Text of a function that reads the clock: nanoseconds; ``clock`` is its number.
NOW = """
define internal i64 @now() {{
  %time = alloca {{ i64, i64 }}, align 8
  %status = call i32 @clock_gettime(i32 {clock}, ptr %time)
  %nanoseconds = getelementptr {{ i64, i64 }}, ptr %time, i32 0, i32 1
  %s = load i64, ptr %time, align 8
  %ns = load i64, ptr %nanoseconds, align 8
  %whole = mul i64 %s, 1000000000
  %sum = add i64 %whole, %ns
  ret i64 %sum
}}
"""

# ``word`` holds, from its upper end: the number of the loop (32 bits), whether it is open to
# workers (1 bit), how many of them are inside (31 bits). ``next`` is the next chunk to take. A new
# loop begins only when nobody is inside of the last one, so that nobody can take its chunks for
# those of another.
_POOL = (
    """
@rounds = global i32 {rounds}
@word = internal global i64 0, align 64
@next = internal global i64 0, align 64
@total = internal global i64 0, align 64
@work = internal global ptr null
@context = internal global ptr null
@limit = internal global i32 0
@owner = internal global i32 0, align 64
@started = internal global i32 0
@sleepers = internal global i32 0, align 64
@unshared = internal global i64 0, align 64
@wary = internal global i64 0, align 64
@key = internal global {key} 0
@mutex = internal global [128 x i8] zeroinitializer, align 64
@wake = internal global [128 x i8] zeroinitializer, align 64

declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach({thread})
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sigfillset(ptr)
declare i32 @sched_yield()
declare i32 @clock_gettime(i32, ptr)
declare i32 @pthread_key_create(ptr, ptr)
declare i32 @pthread_setspecific({key}, ptr)
declare ptr @pthread_getspecific({key})
declare i32 @posix_memalign(ptr, i64, i64)
declare void @free(ptr)
{declare_pause}

define void @setup() {{
  %made = call i32 @pthread_key_create(ptr @key, ptr @free)
  call void @reset()
  ret void
}}

; memory of the calling thread, 64 bytes into its block, whose first word says how long it is
define ptr @symflux_scratch(i64 %bytes) {{
  %slot = alloca ptr, align 8
  %key = load {key}, ptr @key
  %block = call ptr @pthread_getspecific({key} %key)
  %none = icmp eq ptr %block, null
  br i1 %none, label %allocate, label %measure
measure:
  %length = load i64, ptr %block
  %enough = icmp uge i64 %length, %bytes
  br i1 %enough, label %done, label %replace
replace:
  call void @free(ptr %block)
  %forgotten = call i32 @pthread_setspecific({key} %key, ptr null)
  br label %allocate
allocate:
  %total = add i64 %bytes, 64
  %failed = call i32 @posix_memalign(ptr %slot, i64 64, i64 %total)
  %fine = icmp eq i32 %failed, 0
  br i1 %fine, label %keep, label %missing
missing:
  %yielded = call i32 @sched_yield()
  br label %allocate
keep:
  %new = load ptr, ptr %slot
  store i64 %bytes, ptr %new
  %kept = call i32 @pthread_setspecific({key} %key, ptr %new)
  br label %done
done:
  %memory = phi ptr [ %block, %measure ], [ %new, %keep ]
  %usable = getelementptr i8, ptr %memory, i64 64
  ret ptr %usable
}}

define void @reset() {{
  store atomic i64 0, ptr @word seq_cst, align 8
  store atomic i32 0, ptr @owner seq_cst, align 4
  store atomic i32 0, ptr @sleepers seq_cst, align 4
  store i32 0, ptr @started
  store i64 0, ptr @unshared
  store i64 0, ptr @wary
  %m = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %c = call i32 @pthread_cond_init(ptr @wake, ptr null)
  ret void
}}

define internal void @take() {{
  %total = load i64, ptr @total
  %work = load ptr, ptr @work
  %context = load ptr, ptr @context
  br label %more
more:
  %chunk = atomicrmw add ptr @next, i64 1 acq_rel
  %some = icmp slt i64 %chunk, %total
  br i1 %some, label %one, label %none
one:
  %end = add i64 %chunk, 1
  call void %work(ptr %context, i64 %chunk, i64 %end)
  br label %more
none:
  ret void
}}

"""
    + NOW
    + """
define internal void @breathe(i32 %round) {{
  {pause}
  %rest = urem i32 %round, {give_way}
  %due = icmp eq i32 %rest, {last_round}
  br i1 %due, label %yield, label %done
yield:
  %ignored = call i32 @sched_yield()
  br label %done
done:
  ret void
}}

define void @pauses(i32 %count) {{
  br label %again
again:
  %left = phi i32 [ %count, %0 ], [ %next.left, %again ]
  {pause}
  %next.left = sub i32 %left, 1
  %enough = icmp eq i32 %next.left, 0
  br i1 %enough, label %end, label %again
end:
  ret void
}}

define internal ptr @worker(ptr %unused) {{
  %signals = alloca [256 x i8], align 16
  %filled = call i32 @sigfillset(ptr %signals)
  %masked = call i32 @pthread_sigmask(i32 {block}, ptr %signals, ptr null)
  br label %idle
idle:
  %last = phi i64 [ 0, %0 ], [ %number, %full ], [ %number, %leave ], [ %last, %awake ]
  br label %look
look:
  %round = phi i32 [ 0, %idle ], [ %following, %spin ]
  %seen = load atomic i64, ptr @word acquire, align 8
  %number = lshr i64 %seen, 32
  %new = icmp ne i64 %number, %last
  br i1 %new, label %enter, label %wait
wait:
  %following = add i32 %round, 1
  %patience = load i32, ptr @rounds
  %tired = icmp ugt i32 %round, %patience
  br i1 %tired, label %sleep, label %spin
spin:
  call void @breathe(i32 %round)
  br label %look
sleep:
  %locked = call i32 @pthread_mutex_lock(ptr @mutex)
  %before = atomicrmw add ptr @sleepers, i32 1 seq_cst
  br label %check
check:
  %now = load atomic i64, ptr @word seq_cst, align 8
  %now.number = lshr i64 %now, 32
  %same = icmp eq i64 %now.number, %last
  br i1 %same, label %doze, label %awake
doze:
  %woken = call i32 @pthread_cond_wait(ptr @wake, ptr @mutex)
  br label %check
awake:
  %after = atomicrmw sub ptr @sleepers, i32 1 seq_cst
  %unlocked = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %idle
enter:
  %word = load atomic i64, ptr @word acquire, align 8
  %its = lshr i64 %word, 32
  %current = icmp eq i64 %its, %number
  %bit = and i64 %word, 2147483648
  %open = icmp ne i64 %bit, 0
  %inside = and i64 %word, 2147483647
  %limit = load i32, ptr @limit
  %most = zext i32 %limit to i64
  %room = icmp ult i64 %inside, %most
  %fits = and i1 %open, %room
  %welcome = and i1 %current, %fits
  br i1 %welcome, label %try, label %full
full:
  br label %idle
try:
  %more = add i64 %word, 1
  %exchange = cmpxchg ptr @word, i64 %word, i64 %more acq_rel acquire
  %in = extractvalue {{ i64, i1 }} %exchange, 1
  br i1 %in, label %run, label %enter
run:
  call void @take()
  br label %leave
leave:
  %out = atomicrmw sub ptr @word, i64 1 acq_rel
  br label %idle
}}

define internal void @start(i32 %wanted) {{
  %thread = alloca {thread}, align 8
  br label %look
look:
  %have = load i32, ptr @started
  %fewer = icmp slt i32 %have, %wanted
  br i1 %fewer, label %create, label %done
create:
  %failed = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr null)
  %fine = icmp eq i32 %failed, 0
  br i1 %fine, label %created, label %done
created:
  %handle = load {thread}, ptr %thread
  %detached = call i32 @pthread_detach({thread} %handle)
  %count = add i32 %have, 1
  store i32 %count, ptr @started
  br label %look
done:
  ret void
}}

define void @symflux_parallel(ptr %work, ptr %context, i32 %threads, i64 %chunks, i64 %size) {{
  %exchange = cmpxchg ptr @owner, i32 0, i32 1 acq_rel acquire
  %free = extractvalue {{ i32, i1 }} %exchange, 1
  br i1 %free, label %several, label %alone
alone:
  call void %work(ptr %context, i64 0, i64 %chunks)
  ret void
several:
  %care = load i64, ptr @wary
  %careful = icmp sgt i64 %care, 0
  %small = icmp ult i64 %size, {small}
  %shy = and i1 %careful, %small
  br i1 %shy, label %avoid, label %together
avoid:
  %less = sub i64 %care, %size
  store i64 %less, ptr @wary
  store atomic i32 0, ptr @owner release, align 4
  br label %alone
together:
  %others = sub i32 %threads, 1
  %few = call i32 @llvm.smin.i32(i32 %others, i32 {most})
  call void @start(i32 %few)
  store ptr %work, ptr @work
  store ptr %context, ptr @context
  store i64 %chunks, ptr @total
  store i32 %few, ptr @limit
  store atomic i64 0, ptr @next seq_cst, align 8
  %old = load atomic i64, ptr @word seq_cst, align 8
  %number = lshr i64 %old, 32
  %following = add i64 %number, 1
  %upper = shl i64 %following, 32
  %word = or i64 %upper, 2147483648
  store atomic i64 %word, ptr @word seq_cst, align 8
  %asleep = load atomic i32, ptr @sleepers seq_cst, align 4
  %some = icmp sgt i32 %asleep, 0
  br i1 %some, label %weigh, label %run
weigh:
  %before = load i64, ptr @unshared
  %sum = call i64 @llvm.uadd.sat.i64(i64 %before, i64 %size)
  %enough = icmp uge i64 %sum, {wake_from}
  %left = select i1 %enough, i64 0, i64 %sum
  store i64 %left, ptr @unshared
  br i1 %enough, label %call, label %run
call:
  %locked = call i32 @pthread_mutex_lock(ptr @mutex)
  %woken = call i32 @pthread_cond_broadcast(ptr @wake)
  %unlocked = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %run
run:
  call void @take()
  %closed = atomicrmw and ptr @word, i64 -2147483649 acq_rel
  br label %look
look:
  %round = phi i32 [ 0, %run ], [ %next.round, %wait ], [ %next.round, %note ]
  %since = phi i64 [ 0, %run ], [ %since, %wait ], [ %noted, %note ]
  %now = load atomic i64, ptr @word acquire, align 8
  %inside = and i64 %now, 2147483647
  %empty = icmp eq i64 %inside, 0
  br i1 %empty, label %done, label %wait
wait:
  %patience = load i32, ptr @rounds
  %quarter = lshr i32 %patience, 2
  %late = icmp uge i32 %round, %quarter
  %breath = select i1 %late, i32 %round, i32 0
  call void @breathe(i32 %breath)
  %next.round = add i32 %round, 1
  %turns = icmp eq i32 %round, %quarter
  %notes = and i1 %turns, %small
  br i1 %notes, label %note, label %look
note:
  %noted = call i64 @now()
  br label %look
done:
  %was.late = icmp ne i64 %since, 0
  br i1 %was.late, label %warn, label %finish
warn:
  %until = call i64 @now()
  %waited = sub i64 %until, %since
  %least = call i64 @llvm.smax.i64(i64 %waited, i64 0)
  %most = call i64 @llvm.smin.i64(i64 %least, i64 {slice})
  %alone.for = mul i64 %most, {wary}
  store i64 %alone.for, ptr @wary
  br label %finish
finish:
  store atomic i32 0, ptr @owner release, align 4
  ret void
}}
"""
)

_PAUSES = {
    "x86": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "i386": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
    "arm64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}


@record(frozen=True, slots=True)
class _Pool:
    addresses: dict[str, int]
    reset: Any


@once
def object_code() -> bytes:
    """The pool as an object file, for whoever keeps code for other processes."""
    from .objects import object_of
    from .optimise import ModuleText, Options

    machine = host()
    kind = machine.triple.split("-")[0]
    pause = next((v for k, v in _PAUSES.items() if kind.startswith(k)), ("", ""))
    mac = sys.platform == "darwin"
    text = _POOL.format(
        thread="ptr" if mac else "i64", key="i64" if mac else "i32", block=1 if mac else 0,
        declare_pause=pause[0], pause=pause[1], rounds=_ROUNDS, give_way=_GIVE_WAY,
        last_round=_GIVE_WAY - 1, most=_MOST, wake_from=_WAKE_FROM, small=4 * _WAKE_FROM,
        wary=_WARY, slice=_SLICE, clock=int(getattr(time, "CLOCK_MONOTONIC", 1)),
    )  # fmt: skip
    return object_of(ModuleText(text, Options(code_level=0)), machine)  # at 2: 8 ms longer


_given: list[bytes] = []  # an object file that came with code from disk


@once
def _pool() -> _Pool | None:
    """The pool of this process; None where there are no POSIX threads."""
    if not threads.available():
        return None
    names = ("symflux_parallel", "symflux_scratch")
    more = ("setup", "reset", "pauses", "rounds")
    code = service_code(_given, object_code, (*names, *more))
    # threads may run this code until the process ends: it is never freed
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(code))
    pauses = ctypes.CFUNCTYPE(None, ctypes.c_int32)(code.addresses["pauses"])
    ctypes.c_int32.from_address(code.addresses["rounds"]).value = _patience(pauses)
    ctypes.CFUNCTYPE(None)(code.addresses["setup"])()
    reset = ctypes.CFUNCTYPE(None)(code.addresses["reset"])
    if hasattr(os, "register_at_fork"):  # a child has no other threads than the one that forked
        os.register_at_fork(after_in_child=reset)
    return _Pool({name: code.addresses[name] for name in names}, reset)


def _patience(pauses: Callable[[int], None]) -> int:
    """How many rounds workers wait, from how long the pauses take that are asked for."""
    count, taken = 500, []
    for _ in range(3):
        start = time.perf_counter()
        pauses(count)
        taken.append(time.perf_counter() - start)
    rounds = int(_PATIENCE * count / max(min(taken), 1e-7))
    return max(_GIVE_WAY, min(rounds, 100 * _ROUNDS))


def register(given: bytes = b"") -> bool:
    """Let generated code find the pool; False when there is none.

    ``given`` is its object file, if that is at hand: it needs not be compiled then."""
    if given and not _given:
        _given.append(given)
    pool = _pool()
    if pool is None:
        return False
    for name, address in pool.addresses.items():
        offer(name, address)
    offer("symflux_threads", threads.count_address())
    return True
