"""Comparing words of memory before a program runs: what ``words.py`` lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["write_watch"]

#: Whether all pairs of a block are as they were. They are compared in order: one that fails keeps
#: the later ones, whose places it vouches for, from being read.
_PAIRS = """\
watch.begin:
  %watch.count = load i64, ptr {block}, align 8
  %watch.pairs.at = getelementptr i8, ptr {block}, i64 8
  %watch.pairs = load ptr, ptr %watch.pairs.at, align 8
  %watch.end = getelementptr [2 x i64], ptr %watch.pairs, i64 %watch.count
  %watch.runs.count.at = getelementptr i8, ptr {block}, i64 16
  %watch.runs.count = load i64, ptr %watch.runs.count.at, align 8
  br label %watch.pair
watch.pair:
  %watch.p = phi ptr [ %watch.pairs, %watch.begin ], [ %watch.p.next, %watch.compare ]
  %watch.p.done = icmp eq ptr %watch.p, %watch.end
  br i1 %watch.p.done, label %watch.contents, label %watch.compare
watch.compare:
  %watch.place = load ptr, ptr %watch.p, align 8
  %watch.expected.at = getelementptr i8, ptr %watch.p, i64 8
  %watch.expected = load i64, ptr %watch.expected.at, align 8
  %watch.found = load i64, ptr %watch.place, align 1
  %watch.p.next = getelementptr i8, ptr %watch.p, i64 16
  %watch.same = icmp eq i64 %watch.found, %watch.expected
  br i1 %watch.same, label %watch.pair, label %{changed}
watch.contents:
  %watch.no.runs = icmp eq i64 %watch.runs.count, 0
  br i1 %watch.no.runs, label %{fine}, label %{runs}"""

#: The same of all runs.
_RUNS = """\
watch.runs.begin:
  %watch.runs.at = getelementptr i8, ptr {block}, i64 24
  %watch.runs = load ptr, ptr %watch.runs.at, align 8
  %watch.runs.end = getelementptr [3 x i64], ptr %watch.runs, i64 %watch.runs.count
  br label %watch.run
watch.run:
  %watch.r = phi ptr [ %watch.runs, %watch.runs.begin ], [ %watch.r.next, %watch.run.same ]
  %watch.now = load ptr, ptr %watch.r, align 8
  %watch.before.at = getelementptr i8, ptr %watch.r, i64 8
  %watch.before = load ptr, ptr %watch.before.at, align 8
  %watch.size.at = getelementptr i8, ptr %watch.r, i64 16
  %watch.size = load i64, ptr %watch.size.at, align 8
  %watch.order = call i32 @memcmp(ptr %watch.now, ptr %watch.before, i64 %watch.size)
  %watch.equal = icmp eq i32 %watch.order, 0
  br i1 %watch.equal, label %watch.run.same, label %{changed}
watch.run.same:
  %watch.r.next = getelementptr i8, ptr %watch.r, i64 24
  %watch.r.done = icmp eq ptr %watch.r.next, %watch.runs.end
  br i1 %watch.r.done, label %{fine}, label %watch.run"""


def write_watch(e: Emitter, block: str, few: int, changed: str) -> None:
    """Go on if all words of a block are what they were; to the label ``changed`` otherwise.

    ``few`` pairs are compared without a loop, as long as there are so many. Code for few pairs goes
    to ``changed`` where there are runs too: calling a function would save registers, at each
    call."""
    fine = e.label("fine")
    if few:
        _write_in_line(e, block, few, changed, fine)
        text, runs = _PAIRS, changed
    else:
        e.line("br label %watch.begin")
        text, runs = f"{_PAIRS}\n{_RUNS}", "watch.runs.begin"
        if "watch" not in e.helpers:
            e.helpers["watch"] = "memcmp"
            e.add_function("declare i32 @memcmp(ptr, ptr, i64)")
    for line in text.format(block=block, changed=changed, fine=fine, runs=runs).splitlines():
        if line.endswith(":"):
            e.start(line[:-1])
        else:
            e.line(line.strip())
    e.start(fine)


def _write_in_line(e: Emitter, block: str, few: int, changed: str, fine: str) -> None:
    """Compare the pairs that stand in the block itself, if there are so many."""

    def word(n: int, kind: str = "i64") -> str:
        place = e.value(f"getelementptr i8, ptr {block}, i64 {8 * n}", "p")
        return e.value(f"load {kind}, ptr {place}, align 8", "word")

    begin, same = e.label("few"), e.value(f"icmp eq i64 {word(4)}, {few}", "same")
    e.line(f"br i1 {same}, label %{begin}, label %watch.begin")
    for n in range(few):
        e.start(begin)
        found = e.value(f"load i64, ptr {word(5 + 2 * n, 'ptr')}, align 1", "found")
        begin = e.label("next") if n < few - 1 else fine
        same = e.value(f"icmp eq i64 {found}, {word(6 + 2 * n)}", "same")
        e.line(f"br i1 {same}, label %{begin}, label %{changed}")
