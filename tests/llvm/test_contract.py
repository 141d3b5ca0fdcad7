"""Contractions: every shape, layout and dtype against NumPy in float64, with error bounds."""

from __future__ import annotations

import ctypes
import itertools
import platform
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from symflux.codegen.builder import Builder, ContractScope
from symflux.codegen.ir import Contract, Program, walk
from symflux.codegen.llvm import contract_plan
from symflux.codegen.llvm.contract_shape import normalise
from symflux.codegen.llvm.emit import Emitter
from symflux.codegen.llvm.jit import Code, compile_program
from symflux.codegen.llvm.machine import Machine, host
from symflux.codegen.llvm.objects import objects_of
from symflux.codegen.scalars import numpy_dtype

from symflux.records import replace
from symflux.thresholds import lowered

Array = np.ndarray[Any, Any]
Epilogue = Callable[[Builder, ContractScope, Any], Any]


def strides_of(shape: tuple[int, ...], order: str) -> tuple[int, ...]:
    """Element strides of an array stored with its axes in ``order`` (slowest first, by number)."""
    found, step = [0] * len(shape), 1
    for axis in reversed(order):
        found[int(axis)] = step
        step *= shape[int(axis)]
    return tuple(found)


class Case:
    """An einsum of two operands as one program; every operand may be stored with permuted axes."""

    def __init__(
        self, spec: str, sizes: dict[str, int], dtype: str, *, acc: str = "", order_a: str = "",
        order_b: str = "", order_out: str = "", out: str = "", epilogue: Epilogue | None = None,
        extra: dict[str, Array] | None = None, inplace: bool = False,
    ) -> None:  # fmt: skip
        operands, self.result = spec.split("->")
        self.first, self.second = operands.split(",")
        self.sizes, self.dtype, self.acc = sizes, dtype, acc or dtype
        self.out = out or self.acc
        self.shapes = [tuple(sizes[c] for c in s) for s in (self.first, self.second, self.result)]
        orders = [order_a, order_b, order_out]
        self.orders = [
            o or "".join(map(str, range(len(s)))) for o, s in zip(orders, self.shapes, strict=True)
        ]
        strides = [strides_of(s, o) for s, o in zip(self.shapes, self.orders, strict=True)]
        self.extra = extra or {}
        self.inplace = inplace
        b = Builder("contraction")
        buffers = [
            b.input(n, dtype, int(np.prod(s))) for n, s in zip("ab", self.shapes[:2], strict=True)
        ]
        make = b.inout if inplace else b.output
        target = make("c", self.out, int(np.prod(self.shapes[2])))
        self.buffers = {
            name: b.input(name, f"{array.dtype.kind}{8 * array.itemsize}", array.size)
            for name, array in self.extra.items()
        }
        dims = [self._dim(c, strides) for c in dict.fromkeys(self.first + self.second)]
        letters = [c for c, d in zip(dict.fromkeys(self.first + self.second), dims, strict=True)
                   if d[0] != "k"]  # fmt: skip
        with b.kernel("k"), b.contract(*buffers, dims, dtype=self.acc) as product:
            self.index = dict(zip(letters, product.indices, strict=True))
            place: Any = 0
            for c, step in zip(self.result, strides[2], strict=True):
                place = self.index[c] * step + place
            value = epilogue(b, product, self) if epilogue else product.acc
            if inplace:
                value = b.load(target, place) - value
            if self.out != value.dtype:
                value = b.cast(value, self.out)
            b.store(target, place, value)
        self.program = b.program()

    def _dim(self, c: str, strides: list[tuple[int, ...]]) -> tuple[str, int, int, int]:
        in_a, in_b, in_out = c in self.first, c in self.second, c in self.result
        role = ("batch" if in_a and in_b else "m" if in_a else "n") if in_out else "k"
        step_a = strides[0][self.first.index(c)] if in_a else 0
        step_b = strides[1][self.second.index(c)] if in_b else 0
        return role, self.sizes[c], step_a, step_b

    def operands(self, seed: int = 0) -> tuple[Array, Array]:
        random = np.random.default_rng(seed)
        made = []
        for shape in self.shapes[:2]:
            if self.dtype == "bool":
                made.append(random.integers(0, 2, shape).astype(bool))
            elif self.dtype[0] in "iu":
                low = 0 if self.dtype[0] == "u" else -100
                made.append(random.integers(low, 100, shape).astype(numpy_dtype(self.dtype)))
            else:
                made.append(random.standard_normal(shape).astype(numpy_dtype(self.dtype)))
        return made[0], made[1]

    def stored(self, array: Array, which: int) -> Array:
        """The array's elements in the order of its buffer."""
        return np.ascontiguousarray(array.transpose([int(c) for c in self.orders[which]])).ravel()

    def run(self, a: Array, b: Array, native: Any = None, before: Array | None = None) -> Array:
        native = native or compile_program(self.program)
        shape = [self.shapes[2][int(c)] for c in self.orders[2]]
        out = np.full(shape, 77, numpy_dtype(self.out)).ravel()
        if before is not None:
            out = self.stored(before, 2).copy()
        arrays = {"a": self.stored(a, 0), "b": self.stored(b, 1), "c": out, **self.extra}
        native.run(arrays)
        return out.reshape(shape).transpose(np.argsort([int(c) for c in self.orders[2]]))

    def check(self, reference: Callable[[Array], Array] = lambda s: s, native: Any = None) -> None:
        """Run and compare with the sum in float64, within twice the error of summing in order."""
        a, b = self.operands()
        got = self.run(a, b, native)
        if self.acc[0] != "f":
            kind = numpy_dtype(self.acc)
            want = np.einsum(f"{self.first},{self.second}->{self.result}",
                             a.astype(kind), b.astype(kind))  # fmt: skip
            np.testing.assert_array_equal(got, reference(want))
            return
        spec = f"{self.first},{self.second}->{self.result}"
        exact = np.einsum(spec, a.astype("f8"), b.astype("f8"))
        size = np.einsum(spec, abs(a.astype("f8")), abs(b.astype("f8")))
        terms = np.prod([n for c, n in self.sizes.items() if c not in self.result])
        eps = np.finfo(numpy_dtype(self.acc if self.acc != "f16" else "f32")).eps
        bound = 2 * (terms + 2) * eps * (size + 1)
        want = reference(exact)
        if "f16" in (self.out, self.acc):
            bound = bound + 2e-3 * (abs(exact) + abs(want) + 1)
        error = abs(got.astype("f8") - want)
        assert (error <= bound).all(), f"{spec} {self.sizes}: error {np.max(error / bound)} bounds"


SIZES = (1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 64, 65, 100, 130)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_pairings_of_sizes(dtype: str, layout: str, part: int) -> None:
    """Every size of m with every size of n, each in one of four layouts; k runs through all."""
    orders = {"n": "01", "t": "10"}
    which = 4 * part + ["nn", "nt", "tn", "tt"].index(layout)
    for number, (m, n) in enumerate(itertools.product(SIZES, SIZES)):
        if number % 16 != which:
            continue
        k = SIZES[(number * 7 + 3) % len(SIZES)]
        sizes = {"i": m, "j": n, "k": k}
        a, b = orders[layout[0]], orders[layout[1]]
        Case("ik,kj->ij", sizes, dtype, order_a=a, order_b=b).check()


def bias_relu(b: Builder, product: ContractScope, case: Case) -> Any:
    return b.let("maximum", product.acc + b.load(case.buffers["bias"], case.index["j"] * 1), 0.0)


def row_scale(b: Builder, product: ContractScope, case: Case) -> Any:
    row = b.load(case.buffers["row"], case.index["i"] * 1)
    column = b.load(case.buffers["bias"], case.index["j"] * 1)
    return product.acc * row + column


EPILOGUE_SHAPES = [
    (1, 1, 1), (1, 5, 2), (3, 3, 3), (2, 5, 30), (7, 4, 9), (16, 16, 16), (17, 33, 65),
    (33, 10, 130), (130, 100, 31), (5, 1, 100), (300, 40, 20), (1, 300, 64),
]  # fmt: skip


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("shape", EPILOGUE_SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("order_out", ["01", "10"])
def test_epilogue_with_bias_and_relu(
    shape: tuple[int, int, int], dtype: str, order_out: str
) -> None:
    m, n, k = shape
    bias = np.linspace(-1, 1, n).astype(numpy_dtype(dtype))
    case = Case("ik,jk->ij", {"i": m, "j": n, "k": k}, dtype, order_out=order_out,
                epilogue=bias_relu, extra={"bias": bias})  # fmt: skip
    case.check(lambda s: np.maximum(s + bias.astype("f8"), 0))


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("shape", EPILOGUE_SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_epilogue_that_depends_on_row_and_column(shape: tuple[int, int, int], dtype: str) -> None:
    m, n, k = shape
    bias = np.linspace(-1, 1, n).astype(numpy_dtype(dtype))
    row = np.linspace(0.5, 1, m).astype(numpy_dtype(dtype))
    case = Case("ik,kj->ij", {"i": m, "j": n, "k": k}, dtype, epilogue=row_scale,
                extra={"bias": bias, "row": row})  # fmt: skip
    case.check(lambda s: s * row.astype("f8")[:, None] + bias.astype("f8"))


@pytest.mark.parametrize("shape", EPILOGUE_SHAPES, ids=str)
def test_epilogue_that_updates_in_place_runs_once_for_each_element(
    shape: tuple[int, int, int],
) -> None:
    m, n, k = shape
    case = Case("ki,kj->ij", {"i": m, "j": n, "k": k}, "f64", inplace=True)
    a, b = case.operands()
    before = np.random.default_rng(1).standard_normal((m, n))
    got = case.run(a, b, before=before)
    np.testing.assert_allclose(got, before - a.T @ b, rtol=1e-10, atol=1e-10)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize(
    "spec, order_a, order_b, order_out",
    [
        ("bik,bkj->bij", "", "", ""),
        ("bik,kj->bij", "", "", ""),  # batch and rows are one dimension
        ("bik,bjk->bij", "021", "102", "120"),
        ("bhqd,bhkd->bhqk", "0213", "0213", ""),  # attention scores, heads inside
        ("bhqk,bhkd->bqhd", "", "0213", ""),
        ("abk,kcd->abcd", "", "", ""),
        ("abk,kcd->cadb", "", "", ""),
        ("iab,abj->ij", "", "", ""),  # two summed dimensions that are one
        ("aib,abj->ij", "", "", ""),  # and two that are not
        ("abi,jba->ij", "", "", ""),
        ("b,b->b", "", "", ""),
        ("bk,bk->b", "", "", ""),
        ("k,k->", "", "", ""),
        ("ik,k->i", "", "", ""),
        ("ki,k->i", "", "", ""),
        ("k,jk->j", "", "", ""),
        ("k,kj->j", "", "", ""),
        ("i,j->ij", "", "", ""),
        ("bi,bj->bij", "", "", ""),
        ("ik,k->ik", "", "", ""),
    ],
)
@pytest.mark.parametrize("dtype, scale", [("f32", 1), ("f64", 3), ("i32", 2)])
def test_einsum(
    spec: str, order_a: str, order_b: str, order_out: str, dtype: str, scale: int
) -> None:
    letters = sorted(set(spec) - set(",->"))
    for variant in range(3):
        sizes = {c: 2 + (3 * n + 5 * variant) * scale % 23 for n, c in enumerate(letters)}
        Case(spec, sizes, dtype, order_a=order_a, order_b=order_b, order_out=order_out).check()


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("size", [2, 9, 17, 40])
@pytest.mark.parametrize("dtype", ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"])
@pytest.mark.parametrize("spec", ["ik,kj->ij", "ik,jk->ij", "ki,jk->ij", "ik,k->i", "i,j->ij"])
def test_integers_are_exact(dtype: str, spec: str, size: int) -> None:
    sizes = {"i": size, "j": size + 1, "k": size + 2}
    sizes = {c: n for c, n in sizes.items() if c in spec}
    for acc in dict.fromkeys((dtype if dtype != "bool" else "i8", "i64", "f64")):
        if acc == "i64" and dtype == "u64":
            continue
        Case(spec, sizes, dtype, acc=acc).check()


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("acc", ["f16", "f32"])
@pytest.mark.parametrize("spec", ["ik,kj->ij", "ik,jk->ij", "ki,jk->ij", "ik,k->i", "i,j->ij"])
def test_half_precision_sums_in_single(acc: str, spec: str) -> None:
    for size in (2, 9, 17, 40, 100):
        sizes = {"i": size, "j": size + 1, "k": 4 * size + 2}
        sizes = {c: n for c, n in sizes.items() if c in spec}
        Case(spec, sizes, "f16", acc=acc).check()


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", ["f32", "f64", "i64"])
@pytest.mark.parametrize("spec", ["ik,kj->ij", "ik,jk->ij", "ki,kj->ij"])
def test_long_sums_in_blocks(dtype: str, spec: str) -> None:
    for m, n, k in ((20, 40, 1000), (65, 65, 777), (300, 9, 2000), (3, 3, 5000)):
        Case(spec, {"i": m, "j": n, "k": k}, dtype).check()
        bias = np.zeros(n, numpy_dtype(dtype))
        Case(spec, {"i": m, "j": n, "k": k}, dtype, epilogue=bias_add,
             extra={"bias": bias}).check()  # fmt: skip


def bias_add(b: Builder, product: ContractScope, case: Case) -> Any:
    return product.acc + b.load(case.buffers["bias"], case.index["j"] * 1)


@pytest.mark.parametrize("sizes", [{"i": 0, "j": 3, "k": 4}, {"i": 3, "j": 2, "k": 0}], ids=str)
def test_nothing_to_sum_and_nothing_to_store(sizes: dict[str, int]) -> None:
    Case("ik,kj->ij", sizes, "f32").check()


def test_the_same_sum_whatever_the_alignment() -> None:
    case = Case("ik,kj->ij", {"i": 37, "j": 53, "k": 61}, "f32")
    native = compile_program(case.program)
    a, b = case.operands()
    results = []
    for shift in range(4):
        space = [np.empty(x.size + 16, np.float32) for x in (a, b)]
        arrays = {}
        for name, where, x in zip("ab", space, (a, b), strict=True):
            where[shift : shift + x.size] = x.ravel()
            arrays[name] = where[shift : shift + x.size]
        arrays["c"] = np.empty(37 * 53, np.float32)
        native.run(arrays)
        results.append(arrays["c"].tobytes())
    assert len(set(results)) == 1


def test_nan_and_inf_stay_in_their_row() -> None:
    case = Case("ik,jk->ij", {"i": 21, "j": 19, "k": 50}, "f64")
    a, b = case.operands()
    a[3, 7] = np.nan
    a[5, 9] = np.inf
    got = case.run(a, b)
    clean = np.array(np.isfinite(got).all(axis=1))
    assert not clean[3] and not clean[5]
    assert np.delete(clean, [3, 5]).all()


class OlderNative:
    """A program compiled for an older processor than this one."""

    def __init__(self, program: Program, machine: Machine) -> None:
        emitter = Emitter(program, machine=machine)
        self.program = program
        modules = emitter.modules()
        self.code = Code(objects_of(modules, machine), machine, emitter.exports())

    def run(self, arrays: dict[str, Array]) -> None:
        buffers = self.program.arguments()
        pointers = (ctypes.c_void_p * len(buffers))(*(arrays[b.name].ctypes.data for b in buffers))
        call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
        assert call(self.code.addresses["call"])(ctypes.addressof(pointers), None) == 0


@pytest.mark.quick(together=1)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names x86 processors")
@pytest.mark.parametrize(
    "cpu, vector_bytes, dtype",
    [("x86-64-v2", 16, d) for d in ("f32", "f64", "i8", "i32")]
    + [("x86-64-v3", 32, d) for d in ("f16", "f32", "f64", "i8", "i32")],
)
@pytest.mark.parametrize("spec", ["ik,kj->ij", "ik,jk->ij", "ki,kj->ij", "ik,k->i"])
def test_narrower_vectors_without_masks(cpu: str, vector_bytes: int, dtype: str, spec: str) -> None:
    machine = replace(host(), cpu=cpu, features="", vector_bytes=vector_bytes)
    for m, n, k in ((3, 3, 3), (7, 5, 9), (40, 33, 50), (90, 64, 1001), (300, 130, 64)):
        sizes = {c: s for c, s in zip("ijk", (m, n, k), strict=True) if c in spec}
        case = Case(spec, sizes, dtype)
        case.check(native=OlderNative(case.program, machine))
        row = np.linspace(0, 9, m).astype(numpy_dtype(dtype))
        column = row if spec.endswith("->i") else row[:, None]
        case = Case(spec, sizes, dtype, epilogue=row_bias, extra={"row": row})
        case.check(partial(np.add, column), native=OlderNative(case.program, machine))


def row_bias(b: Builder, product: ContractScope, case: Case) -> Any:
    return product.acc + b.load(case.buffers["row"], case.index["i"] * 1)


def test_layers_of_a_network_share_their_kernels() -> None:
    b = Builder("network")
    widths = [64, 128, 64, 192]
    x = b.input("x", "f32", 40 * widths[0])
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        w = b.input(f"w{layer}", "f32", n_in * n_out)
        y = b.output(f"y{layer}", "f32", 40 * n_out)
        dims = [("m", 40, n_in, 0), ("n", n_out, 0, n_in), ("k", n_in, 1, 1)]
        with b.kernel(f"layer{layer}"), b.contract(x, w, dims) as product:
            i, j = product.indices
            b.store(y, i * n_out + j, product.acc)
        x = y
    text = compile_program(b.program()).llvm_ir
    assert text.count("define internal void @tile_") == 1
    assert text.count("define internal void @pack_") == 1


@pytest.fixture
def many_blocks() -> Iterator[None]:
    with lowered(
        product_panel=4096, product_long_panel=8192, product_block=4096, product_columns=8192,
        pack_a_transposed=0, pack_a_straight=0, pack_a_distance=0,
    ):  # fmt: skip
        yield


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("epilogue", ["stored", "registers", "loops", "in place"])
def test_products_in_many_blocks(many_blocks: None, layout: str, epilogue: str) -> None:
    """As large ones, with limits so low that there are several blocks of rows, columns and terms:
    partial sums wait in the result, or in scratch memory where the result is still needed."""
    sizes = {"i": 75, "j": 101, "k": 203}
    orders = {"n": "01", "t": "10"}
    bias = np.linspace(-1, 1, 101)
    case = Case("ik,kj->ij", sizes, "f64", order_a=orders[layout[0]], order_b=orders[layout[1]],
                inplace=epilogue == "in place", extra={"bias": bias},
                epilogue={"registers": bias_relu, "loops": bias_tanh}.get(epilogue))  # fmt: skip
    way = contract_plan.plan(normalise(contraction(case.program)), host())
    assert isinstance(way, contract_plan.Tiling)
    masks = host().has_masks("f64")  # for the last of 101 columns, and to transpose in registers
    assert way.several and way.shares_b and way.n_block < 101 and bool(way.packs_a) == masks
    assert way.target == ("full" if epilogue == "in place" or not masks else "result")
    a, b = case.operands()
    before = np.random.default_rng(1).standard_normal((75, 101))
    got = case.run(a, b, before=before)
    want = {
        "stored": a @ b, "registers": np.maximum(a @ b + bias, 0), "loops": np.tanh(a @ b + bias),
        "in place": before - a @ b,
    }[epilogue]  # fmt: skip
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def bias_tanh(b: Builder, product: ContractScope, case: Case) -> Any:
    return b.let("tanh", product.acc + b.load(case.buffers["bias"], case.index["j"] * 1))


def contraction(program: Program) -> Contract:
    """The only one of a program."""
    (found,) = (s for k in program.kernels for s in walk(k.body) if isinstance(s, Contract))
    return found


def test_short_epilogues_stay_in_registers() -> None:
    bias = np.zeros(64)
    case = Case("ik,kj->ij", {"i": 64, "j": 64, "k": 64}, "f64", epilogue=bias_relu,
                extra={"bias": bias})  # fmt: skip
    native = compile_program(case.program)
    tiles = re.findall(r"define internal void @tile_.*?^}", native.llvm_ir, re.M | re.S)
    assert tiles and all("llvm.maximum" in tile for tile in tiles)


@pytest.mark.parametrize("size", [64, 500, 2048])
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_square_products_store_rows_side_by_side(layout: str, size: int) -> None:
    orders = {"n": "01", "t": "10"}
    case = Case("ik,kj->ij", {"i": size, "j": size, "k": size}, "f64",
                order_a=orders[layout[0]], order_b=orders[layout[1]])  # fmt: skip
    product = normalise(contraction(case.program))
    assert product.a.name == "a" and contract_plan.direct_store(product) is not None


def test_a_product_with_few_columns_has_vectors_along_its_rows() -> None:
    case = Case("ki,kj->ij", {"i": 1000, "j": 4, "k": 50}, "f32")
    assert normalise(contraction(case.program)).n.extent == 1000
