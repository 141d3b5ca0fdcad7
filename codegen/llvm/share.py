"""The functions of a large module shared out among several modules, which are compiled at once.

A function that LLVM will not put into its callers may be in any module; the others declare it.
Functions that will be put into their callers are copied to wherever those are. How the functions
are shared out depends on their texts alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from ...thresholds import thresholds

__all__ = ["share_out"]

_NAME = re.compile(r"@([A-Za-z0-9_.]+)")
_HEADER = re.compile(r"define ([^@]*)@([A-Za-z0-9_.]+)(\(.*\)) (#\d+) \{\n")


class _Function:
    """One function's text and what it refers to."""

    def __init__(self, text: str, match: re.Match[str]) -> None:
        self.text = text
        self.linkage, self.name, self.parameters, self.group = match.groups()
        self.lines = text.count("\n")
        self.names = set(_NAME.findall(text)) - {self.name}
        self.movable = self.linkage.startswith("internal ")

    @property
    def declaration(self) -> str:
        kind = self.linkage.replace("internal ", "")
        return f"declare {kind}@{self.name}{self.parameters} nonlazybind"

    @property
    def visible(self) -> str:
        """The text, so that other modules can refer to the function."""
        return self.text.replace("define internal ", "define ", 1)


def share_out(texts: Sequence[str], inlined: Collection[str]) -> list[list[str]]:
    """The module-level texts of a module as those of several, the main one first.

    Args:
        texts: functions (one to a text), declarations and globals.
        inlined: the attribute groups of functions that are put into their callers.
    """
    functions: dict[str, _Function] = {}
    rest: list[str] = []
    for text in texts:
        match = _HEADER.match(text)
        if match is None:
            rest.append(text)
        else:
            function = _Function(text, match)
            functions[function.name] = function
    others = set().union(*[_NAME.findall(text) for text in rest if not text.startswith("declare")])
    copied = {name for name, f in functions.items() if f.movable and f.group in inlined}
    free: list[_Function] = []
    for function in functions.values():
        needed = _with_copies(function, functions, copied)
        if function.movable and function.name not in copied and others.isdisjoint(needed):
            free.append(function)
    total = sum([function.lines for function in free])
    count = min(thresholds.modules, len(free), total // thresholds.module_lines)
    if count < 1:
        return [list(texts)]
    fixed = [f for f in functions.values() if f not in free and f.name not in copied]
    loads = [sum([f.lines for f in fixed]), *[0] * count]
    shares: list[list[_Function]] = [fixed, *[[] for _ in range(count)]]
    for function in sorted(free, key=lambda f: -f.lines):
        lightest = loads.index(min(loads))
        loads[lightest] += function.lines
        shares[lightest].append(function)
    return [
        _module(share, rest if n == 0 else _declarations(rest), functions, copied)
        for n, share in enumerate(shares)
        if share
    ]


def _with_copies(
    function: _Function, functions: dict[str, _Function], copied: Collection[str]
) -> set[str]:
    """What a function refers to once its callees have been put into it."""
    found: set[str] = set()
    stack = [function]
    while stack:
        for name in stack.pop().names:
            if name not in found:
                found.add(name)
                if name in copied:
                    stack.append(functions[name])
    return found


def _declarations(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if text.startswith("declare ")]


def _module(
    share: Sequence[_Function],
    rest: Sequence[str],
    functions: dict[str, _Function],
    copied: Collection[str],
) -> list[str]:
    own = {function.name for function in share}
    needed: dict[str, None] = {}
    for function in share:
        needed |= dict.fromkeys(sorted(_with_copies(function, functions, copied)))
    for text in rest:
        needed |= dict.fromkeys(_NAME.findall(text))
    copies = [functions[name].text for name in needed if name in copied]
    declared = [
        functions[name].declaration
        for name in needed
        if name in functions and name not in copied and name not in own
    ]
    return [*rest, *declared, *copies, *[function.visible for function in share]]
