"""Functions that differ in one thing only, for tests of what compiled code is found by.

All members of a family have equal graphs, or graphs that are nearly equal; each member says what it
must return. ``check`` compiles them in one order or in the other and compares bit by bit.
"""

import dataclasses
import struct

import numpy as np

import symflux as sf
from symflux import config


def nan(payload):
    return struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000 | payload))[0]


def exact(value):
    """A value with the types, dtypes, orders of keys and bits of all of its parts."""
    if isinstance(value, np.ndarray | np.generic | float):
        array = np.asarray(value)
        return type(value).__name__, array.dtype.str, array.shape, array.tobytes().hex()
    if isinstance(value, dict):
        return type(value).__name__, [(exact(k), exact(v)) for k, v in value.items()]
    if isinstance(value, tuple | list):
        return type(value).__name__, [exact(v) for v in value]
    return type(value).__name__, repr(value)


@dataclasses.dataclass
class Member:
    """``fn(*args)`` compiled with ``options``; NumPy's own answer is the right one, unless
    ``right`` says it."""

    fn: object
    args: tuple = (np.array([1.0, 2.0]),)
    options: dict = dataclasses.field(default_factory=dict)
    right: object = None
    settings: dict = dataclasses.field(default_factory=dict)
    out: bool = False

    def check(self, where):
        wanted = self.fn(*self.args) if self.right is None else self.right
        with config.override(**self.settings):
            compiled = sf.compile(self.fn, **self.options)
            for _ in range(2):  # the slow path, then the native one
                args = [a.copy() if isinstance(a, np.ndarray) else a for a in self.args]
                given = {"out": (np.empty(2), np.empty(2))} if self.out else {}
                found = compiled(*args, **given)
                assert exact(found) == exact(wanted), (where, found, wanted)
                if given:
                    assert found is given["out"]
                for name in self.options.get("donate", ()):
                    assert found is args["xy".index(name)], (where, name)


def same(x, *_):
    return x + 1.0, None


def _arrays(name):
    return Member(lambda d: {n: d[n] * 2.0 for n in name}, ({n: np.ones(2) for n in name},))


def _renamed(name):
    return Member(lambda d: dict(zip(name, (d["a"] * 2.0, d["b"] + 1.0), strict=True)),
                  ({"a": np.ones(2), "b": np.arange(2.0)},))  # fmt: skip


def _static(value, fn=same):
    return Member(fn, (np.arange(2.0), value), {"static_argnums": 1})


def _reads(table):
    return Member(lambda x: x @ table, (np.ones(2),), right=np.ones(2) @ table)


TABLE = np.arange(1.0, 5.0).reshape(2, 2)
BIT = np.nextafter(0.1, 1.0)

FAMILIES = {
    "keys": [_arrays(k) for k in ("ab", "xy", ("a", "bb"), (0, 1), (True, False), (0.0, 1.0))],
    "keys of the result alone": [_renamed(k) for k in ("ab", "ba", "xy", "ax", "xb", (1, 2))],
    "order of keys": [_arrays("ab"), _arrays("ba")],
    "containers": [
        Member(lambda x: (x + 1.0, x * 2.0)),
        Member(lambda x: [x + 1.0, x * 2.0]),
        Member(lambda x: {"a": x + 1.0, "b": x * 2.0}),
        Member(lambda x: ((x + 1.0,), x * 2.0)),
        Member(lambda x: (x + 1.0, (x * 2.0,))),
        Member(lambda x: ((x + 1.0, x * 2.0),)),
        Member(lambda x: (x * 2.0, x + 1.0)),
        Member(lambda x: (x + 1.0, None, x * 2.0)),
        Member(lambda x: (x + 1.0, x * 2.0, None)),
        Member(lambda x: (x + 1.0, x * 2.0, x + 1.0)),
    ],
    "statics": [
        _static(v)
        for v in (None, 7, 7.0, np.float64, np.float32, np.dtype("f8"), np.dtype("f4"), "a", ())
    ],
    "statics in the result": [
        _static(v, lambda x, n: {n: x + 1.0, "n": None}) for v in ("n", "m", None, 7, 7.0, True)
    ],
    "statics that are equal": [
        _static(v, lambda x, v: x * np.ravel(v)[0])
        for v in (0.0, -0.0, 0, False, (0.0,), (-0.0,), (0,), (False,), nan(1), nan(2), (nan(1),))
    ],
    "constants": [
        Member(lambda x, c=c: (x * c, x + c, c))
        for c in (0.1, BIT, 0.0, -0.0, 5e-324, -5e-324, np.inf, -np.inf, np.float32(0.1))
    ],
    "payloads": [
        Member(lambda x, c=c: (np.where(x > 1.5, x, c), c))
        for c in (nan(0), nan(1), nan(2), -nan(0), 0.0, -0.0)
    ],
    "whole numbers": [Member(lambda x, c=c: (x * c, c)) for c in (1, 2, True, False)],
    "dtypes": [
        Member(lambda x: x + x, (np.ones(2, dtype),))
        for dtype in ("f2", "f4", "f8", "i1", "u1", "i2", "i4", "u4", "i8", "u8")
    ],
    "kinds of numbers": [
        Member(lambda x: x * 3, (x,), right=x * 3) for x in (1.5, np.float64(1.5), 2, np.int64(2))
    ],
    "layouts": [
        _reads(TABLE), _reads(TABLE.T), _reads(np.asfortranarray(TABLE)),
        _reads(np.repeat(TABLE, 2, 1)[:, ::2]), _reads(TABLE[::-1]), _reads(TABLE * 2.0),
    ],
    "the same array twice": [
        Member(lambda x, a=a, b=b: x * a + b, (np.ones(2),), right=a + b)
        for a, b in ((TABLE[0], TABLE[1]), (TABLE[0], TABLE[0].copy()), 2 * (TABLE[0].copy(),))
    ],
    "donated": [
        Member(lambda x, y: y * 2.0, 2 * (np.ones(2),), {"donate": donate})
        for donate in ((), ("x",), ("y",))
    ],
    "out": [Member(lambda x: (x + 1.0, x * 2.0), out=out) for out in (False, True)],
    "arguments": [
        Member(lambda x, y: x - y, (np.ones(2), np.full(2, 3.0))),
        Member(lambda y, x: x - y, (np.ones(2), np.full(2, 3.0))),
        Member(lambda p: p[0] - p[1], ((np.ones(2), np.full(2, 3.0)),)),
        Member(lambda p: p[1] - p[0], ([np.ones(2), np.full(2, 3.0)],)),
        Member(lambda a, b: b - b * 0.0 - a, (np.ones(2), np.full(2, 3.0))),
    ],
    "settings": [
        Member(lambda x: np.exp(x) * 0.0 + x, settings=s)
        for s in ({}, {"stop_after": "fold"}, {"verify": True})
    ],
}  # fmt: skip


def check(backwards=False):
    """Compile all members of all families, one after the other, and compare."""
    for name, members in FAMILIES.items():
        numbered = list(enumerate(members))
        for number, member in reversed(numbered) if backwards else numbered:
            member.check(f"{name}, number {number}")
