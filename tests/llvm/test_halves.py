"""float16 on processors with and without conversions: every half, every boundary between two."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from symflux.codegen.llvm.halves import with_conversions
from symflux.codegen.llvm.machine import at_level

import symflux as sf

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def elements(fn):
    """A function by element as two: one in vectors, one that goes through the elements singly."""

    def single(*arrays):
        return sf.scan(lambda c, row: (c, fn(*row)), 0, arrays)[1]

    return sf.compile(fn), sf.compile(single)


def same_bits(got, expected):
    """Equal bits; for nans any nan."""
    assert got.dtype == expected.dtype
    word = f"u{expected.itemsize}"
    fine = (got.view(word) == expected.view(word)) | (np.isnan(got) & np.isnan(expected))
    where = np.flatnonzero(~fine)[:5]
    assert not where.size, (where, got[where], expected[where])


def boundaries(dtype):
    """Numbers at and beside every half and every middle between two, and the halves they round to.

    The halves are known by construction: their neighbours' order, and the even one for a tie."""
    bits = np.arange(0x7C00, dtype=np.uint16)
    low = bits.view(np.float16).astype(dtype)
    high = np.append(low[1:], dtype(65536))
    middle = (low + high) / 2
    up, down = bits + np.uint16(1), bits
    pairs = [
        (low, down),
        (np.nextafter(low, high), down),
        (np.nextafter(middle, low), down),
        (middle, np.where(bits % 2, up, down)),
        (np.nextafter(middle, high), up),
        (np.nextafter(high, low), up),
    ]
    numbers = np.concatenate([x for x, _ in pairs])
    halves = np.concatenate([h for _, h in pairs]).astype(np.uint16)
    edges = np.array([np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max, np.inf], dtype)
    numbers = np.concatenate([numbers, edges])
    halves = np.concatenate([halves, np.array([0, 0x7C00, 0x7C00], np.uint16)])
    signed = np.concatenate([numbers, -numbers])
    return signed, np.concatenate([halves, halves | np.uint16(0x8000)]).view(np.float16)


def check_widening():
    bits = HALVES.view(np.uint16).astype(np.uint32)
    mantissas, nans = bits & 0x3FF, np.isnan(HALVES)
    exponents = (bits >> 10 & 0x1F).astype(int)
    sizes = np.where(
        exponents > 0, np.ldexp(1024.0 + mantissas, exponents - 25), np.ldexp(mantissas * 1.0, -24)
    )
    sizes[exponents == 31] = np.inf
    values = np.copysign(sizes, np.where(bits & 0x8000, -1.0, 1.0))
    for dtype in (np.float32, np.float64):
        for cast in elements(lambda x, dtype=dtype: x.astype(dtype)):
            got = cast(HALVES)
            same_bits(got[~nans], values[~nans].astype(dtype))
            assert np.isnan(got[nans]).all()
            if dtype == np.float32:  # a nan keeps its sign and payload, and becomes quiet
                payload = (bits & 0x8000) << 16 | 0x7FC00000 | mantissas << 13
                np.testing.assert_array_equal(got.view(np.uint32)[nans], payload[nans])


def check_narrowing():
    for dtype in (np.float32, np.float64):
        numbers, expected = boundaries(dtype)
        for cast in elements(lambda x: x.astype(np.float16)):
            same_bits(cast(numbers), expected)
    payloads = np.arange(1, 1 << 10, dtype=np.uint32)
    nans = np.concatenate([payloads << 13 | s for s in (0x7F800000, 0xFF800000)])
    nans = np.concatenate([nans, [0x7F800001, 0xFFBFFFFF]]).astype(np.uint32)
    expected = (nans >> 16 & 0x8000 | 0x7E00 | nans >> 13 & 0x1FF).astype(np.uint16)
    for cast in elements(lambda x: x.astype(np.float16)):
        np.testing.assert_array_equal(cast(nans.view(np.float32)).view(np.uint16), expected)


def check_arithmetic():
    other = np.random.default_rng(0).permutation(HALVES)
    two = (np.add, np.subtract, np.multiply, np.divide, np.minimum, np.copysign)
    with np.errstate(all="ignore"):
        for op in two:
            for fn in elements(lambda x, y, op=op: op(x, y)):
                same_bits(fn(HALVES, other), op(HALVES, other))
        for op in (np.less, np.equal, np.greater_equal):
            for fn in elements(lambda x, y, op=op: op(x, y)):
                np.testing.assert_array_equal(fn(HALVES, other), op(HALVES, other))
        for op in (np.negative, np.abs, np.sqrt, np.floor, np.rint, np.sign):
            for fn in elements(op):
                same_bits(fn(HALVES), op(HALVES))
        for fn in elements(lambda x, y: x * y + x):  # two roundings
            same_bits(fn(HALVES, other), HALVES * other + HALVES)
    small = HALVES[np.abs(HALVES) < 30000]
    for fn in elements(lambda x: x.astype(np.int32).astype(np.float16)):
        same_bits(fn(small), np.trunc(small) + np.float16(0))


def check_sums_and_products():
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-8, 8, s).astype(np.float16) for s in ((33, 40), (40, 35)))
    for m, n in ((33, 35), (2, 3)):
        x, y = a[:m].copy(), b[:, :n].copy()
        same_bits(sf.compile(lambda x, y: x @ y)(x, y), (x.astype("f8") @ y).astype("f2"))
    same_bits(sf.compile(np.sum)(a), np.float16(a.astype("f8").sum()).reshape(())[()])
    same_bits(sf.compile(lambda a: np.max(a, 0))(a), a.max(0))
    same_bits(sf.compile(lambda a: np.cumsum(a[0]))(a), np.cumsum(a[0]))
    got, x = sf.compile(np.exp)(a), a.astype("f8")
    np.testing.assert_allclose(got, np.exp(x), rtol=6e-4, atol=3e-8)
    slopes = sf.grad(lambda a: np.sum(np.tanh(a) * a))(a)
    exact = np.tanh(x) + x / np.cosh(x) ** 2
    assert slopes.dtype == np.float16
    np.testing.assert_allclose(slopes, exact, rtol=5e-3, atol=1e-3)


CHECKS = [check_widening, check_narrowing, check_arithmetic, check_sums_and_products]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_float16_has_the_bits_of_the_standard(check):
    check()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="levels of x86-64")
@pytest.mark.parametrize(
    "checks", ["CHECKS[:1]", pytest.param("CHECKS[1:]", marks=pytest.mark.slow)]
)
def test_float16_has_the_bits_of_the_standard_without_f16c(checks):
    """Processors below x86-64-v3: LLVM called functions that no process has."""
    program = f"from tests.llvm.test_halves import CHECKS\nfor check in {checks}: check()"
    env = os.environ | {"SYMFLUX_TARGET": "x86-64-v2", "SYMFLUX_CACHE_DIR": "off"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_conversions_are_added_where_they_are_missing_only():
    text = "define half @f(half %x) { ret half %x }"
    assert "__truncdfhf2" in with_conversions(text, at_level("x86-64-v2"))
    assert with_conversions(text, at_level("x86-64-v3")) == text
    assert with_conversions("define void @f() { ret void }", at_level("x86-64")).count("@") == 1
