"""Comparing words of memory before a program runs: what ``words.py`` lists.

The code is written in LLVM IR and compiled once in a process; the entries of all programs call
it."""

from __future__ import annotations

from ...once import once
from .code import Code, offer, service_code
from .emit import Emitter
from .machine import host

__all__ = ["object_code", "register", "write_watch"]

#: Whether all pairs and runs of a block are as they were. Pairs are compared in order: one that
#: fails keeps the later ones, whose places it vouches for, from being read.
_WATCH = """\
define i1 @symflux_watch(ptr %block) {
begin:
  %count = load i64, ptr %block, align 8
  %pairs.at = getelementptr i8, ptr %block, i64 8
  %pairs = load ptr, ptr %pairs.at, align 8
  %end = getelementptr [2 x ptr], ptr %pairs, i64 %count
  br label %pair
pair:
  %p = phi ptr [ %pairs, %begin ], [ %p.next, %compare ]
  %p.done = icmp eq ptr %p, %end
  br i1 %p.done, label %contents, label %compare
compare:
  %place = load ptr, ptr %p, align 8
  %expected.at = getelementptr i8, ptr %p, i64 8
  %expected = load i64, ptr %expected.at, align 8
  %found = load i64, ptr %place, align 1
  %p.next = getelementptr i8, ptr %p, i64 16
  %same = icmp eq i64 %found, %expected
  br i1 %same, label %pair, label %changed
contents:
  %runs.at = getelementptr i8, ptr %block, i64 16
  %runs.count = load i64, ptr %runs.at, align 8
  %runs.first.at = getelementptr i8, ptr %block, i64 24
  %runs = load ptr, ptr %runs.first.at, align 8
  br label %run
run:
  %r = phi i64 [ 0, %contents ], [ %r.next, %bytes.done ]
  %r.done = icmp eq i64 %r, %runs.count
  br i1 %r.done, label %unchanged, label %run.begin
run.begin:
  %r.next = add i64 %r, 1
  %run.at = getelementptr [3 x i64], ptr %runs, i64 %r
  %now = load ptr, ptr %run.at, align 8
  %before.at = getelementptr i8, ptr %run.at, i64 8
  %before = load ptr, ptr %before.at, align 8
  %size.at = getelementptr i8, ptr %run.at, i64 16
  %size = load i64, ptr %size.at, align 8
  %whole = and i64 %size, -128
  br label %block.test
block.test:
  %i = phi i64 [ 0, %run.begin ], [ %i.next, %block.body ]
  %sum = phi <16 x i64> [ zeroinitializer, %run.begin ], [ %sum.next, %block.body ]
  %i.done = icmp eq i64 %i, %whole
  br i1 %i.done, label %block.done, label %block.body
block.body:
  %i.now = getelementptr i8, ptr %now, i64 %i
  %i.before = getelementptr i8, ptr %before, i64 %i
  %i.a = load <16 x i64>, ptr %i.now, align 1
  %i.b = load <16 x i64>, ptr %i.before, align 1
  %i.x = xor <16 x i64> %i.a, %i.b
  %sum.next = or <16 x i64> %sum, %i.x
  %i.next = add i64 %i, 128
  br label %block.test
block.done:
  %sum.all = call i64 @llvm.vector.reduce.or.v16i64(<16 x i64> %sum)
  %sum.same = icmp eq i64 %sum.all, 0
  %words.whole = and i64 %size, -8
  br i1 %sum.same, label %words, label %changed
words:
  %j = phi i64 [ %whole, %block.done ], [ %j.next, %word ]
  %j.done = icmp eq i64 %j, %words.whole
  br i1 %j.done, label %bytes, label %word
word:
  %j.now = getelementptr i8, ptr %now, i64 %j
  %j.before = getelementptr i8, ptr %before, i64 %j
  %j.a = load i64, ptr %j.now, align 1
  %j.b = load i64, ptr %j.before, align 1
  %j.next = add i64 %j, 8
  %j.same = icmp eq i64 %j.a, %j.b
  br i1 %j.same, label %words, label %changed
bytes:
  %k = phi i64 [ %words.whole, %words ], [ %k.next, %byte ]
  %k.done = icmp eq i64 %k, %size
  br i1 %k.done, label %bytes.done, label %byte
byte:
  %k.now = getelementptr i8, ptr %now, i64 %k
  %k.before = getelementptr i8, ptr %before, i64 %k
  %k.a = load i8, ptr %k.now, align 1
  %k.b = load i8, ptr %k.before, align 1
  %k.next = add i64 %k, 1
  %k.same = icmp eq i8 %k.a, %k.b
  br i1 %k.same, label %bytes, label %changed
bytes.done:
  br label %run
unchanged:
  ret i1 true
changed:
  ret i1 false
}
declare i64 @llvm.vector.reduce.or.v16i64(<16 x i64>)"""


_given: list[bytes] = []  # an object file that came with code from disk


@once
def object_code() -> bytes:
    """The comparison as an object file, for whoever keeps code for other processes."""
    from .objects import object_of
    from .optimise import ModuleText, Options

    return object_of(ModuleText(_WATCH, Options(code_level=2)), host())


@once
def _code() -> Code:
    return service_code(_given, object_code, ("symflux_watch",))


def register(given: bytes = b"") -> None:
    """Let generated code find the comparison; ``given`` is its object file, if that is at hand."""
    if given and not _given:
        _given.append(given)
    offer("symflux_watch", _code().addresses["symflux_watch"])


def write_watch(e: Emitter, block: str, changed: str) -> None:
    """Go on if all words of a block are what they were; to the label ``changed`` otherwise."""
    if "watch" not in e.services:
        e.services.add("watch")
        e.add_function("declare i1 @symflux_watch(ptr)")
    fine = e.label("fine")
    same = e.value(f"call i1 @symflux_watch(ptr {block})", "same")
    e.line(f"br i1 {same}, label %{fine}, label %{changed}")
    e.start(fine)
