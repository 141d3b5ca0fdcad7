"""Kernels of contractions that programs share: made once, found again, linked to each."""

import numpy as np
import pytest
from symflux.codegen.llvm import library, objects
from symflux.codegen.llvm.image import Image

import symflux as sf
from symflux.thresholds import lowered


class Shelf(dict):
    """A store in memory."""

    def recall(self, name):
        return self.get(name)

    def remember(self, name, image):
        self[name] = Image.from_bytes(image.to_bytes())


@pytest.fixture
def store(monkeypatch):
    """An empty store instead of the disk; nothing else is kept."""
    found = Shelf()
    library.forget()
    monkeypatch.setattr(library, "use", lambda _: None)
    monkeypatch.setattr(library, "_store", found)
    with sf.config.override(cache_dir="off"), lowered(product_unrolled=0, product_short_sum=0):
        yield found
    library.forget()


@pytest.fixture
def written(monkeypatch):
    """The texts of modules that are compiled."""
    texts = []
    made = objects._made

    def count(module, machine):
        texts.append(module.text)
        return made(module, machine)

    monkeypatch.setattr(objects, "_made", count)
    return texts


def operands(m, k, n, dtype="f4"):
    rng = np.random.default_rng(0)
    return rng.random((m, k), dtype), rng.random((k, n), dtype)


def defined(texts):
    """The kernels of contractions that texts define."""
    lines = [line for text in texts for line in text.splitlines() if line.startswith("define")]
    return [line for line in lines if any(f"@{w}_" in line for w in ("tile", "pack", "dot"))]


def test_the_kernels_of_a_product_are_made_once(store, written):
    a, b = operands(48, 200, 40)
    np.testing.assert_allclose(sf.compile(lambda a, b: a @ b)(a, b), a @ b, rtol=1e-5)
    assert store and len(defined(written)) == len(store)
    for forget in (False, True):  # found in the process, and in the store
        written.clear()
        if forget:
            library.forget()
        f = sf.compile(lambda a, b: np.sin(a @ b))
        np.testing.assert_allclose(f(a, b), np.sin(a @ b), rtol=0, atol=1e-3)
        assert not defined(written)


def test_kernels_with_the_same_epilogue_are_one(store, written):
    """Text tells them apart, without the sizes of arrays."""

    def layer(a, b, c):
        return np.maximum(a @ b + c, 0)

    for m in (48, 96):
        written.clear()
        a, b = operands(m, 200, 40)
        c = np.linspace(-60, 0, 40, dtype="f4")
        expected = np.maximum(a @ b + c, 0)
        with lowered(product_share_from=1e9):  # pieces for threads have epilogues of their own
            found = sf.compile(layer)(a, b, c)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        if m == 48:
            assert defined(written)
    assert not [line for line in defined(written) if "dereferenceable" in line]
    assert not defined(written)


def test_programs_that_need_kernels_of_two_programs_link_each_once(store, written):
    """What was made together comes together: here the second brings what the first has as well."""
    for seen in ([1, 2], [2, 3]):
        library.forget()
        store_before = dict(store)
        store.clear()
        made = {1: (48, 200, 40), 2: (30, 200, 24), 3: (7, 333, 100)}

        def chain(*arrays):
            return [x @ y for x, y in zip(arrays[::2], arrays[1::2], strict=True)]

        arrays = [array for number in seen for array in operands(*made[number])]
        for x, y in zip(sf.compile(chain)(*arrays), chain(*arrays), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5)
        store.update(store_before)
    library.forget()
    arrays = [array for number in (3, 1, 2) for array in operands(*made[number])]
    for x, y in zip(sf.compile(lambda *a: chain(*a))(*arrays), chain(*arrays), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


def test_kernels_of_other_thresholds_and_dtypes_are_others(store):
    a, b = operands(48, 200, 40)
    sf.compile(lambda a, b: a @ b)(a, b)
    before = set(store)
    with lowered(tile_written_out=16):
        sf.compile(lambda a, b: a @ b)(a, b)
    assert before.isdisjoint(set(store) - before) and set(store) > before
    before = set(store)
    sf.compile(lambda a, b: a @ b)(*operands(48, 200, 40, "f8"))
    assert set(store) > before


def test_what_drives_kernels_is_right_without_optimisation(store):
    """Loops around tiles, pieces for threads and what starts them: the same bits, less effort."""

    def step(a, b, c, n):
        hidden = np.tanh(a @ b + c)
        rows = (np.arange(48) * n) // 7 % 5
        return hidden @ b[:40].T, np.sum(hidden * rows[:, None]), np.cumsum(hidden[0]) - rows[:40]

    a, b = operands(48, 200, 40)
    c = np.linspace(-60, 0, 40, dtype="f4")
    small = {"long_run": 0, "plain_entry": 0, "plain_tile": 0, "thread_from": 1, "share_from": 0.0}
    found = {}
    for lines in (0, 10**6):
        with lowered(plain_lines=lines, product_share_from=0.0, product_share_rows=4, **small):
            f = sf.compile(step)
            found[lines] = f(a, b, c, 3)
            assert (lines > 0) == (
                "_parallel_chunks(ptr %context, i64 %from, i64 %to) #5" in f.llvm_ir
            )
    for plain, optimised, exact in zip(found[10**6], found[0], step(a, b, c, 3), strict=True):
        assert plain.tobytes() == optimised.tobytes()
        np.testing.assert_allclose(plain, exact, rtol=1e-4, atol=1e-3)


def test_results_have_the_same_bits_from_the_library_and_from_one_module(store):
    from symflux.codegen.llvm.jit import compile_program

    from symflux.runtime.stages import make_stages

    a, b = operands(48, 200, 40)
    first = sf.compile(lambda a, b: np.tanh(a @ b) + 1)
    value = first(a, b)
    library.forget()
    again = sf.compile(lambda a, b: np.tanh(a @ b) + 1)(a, b)
    stages = make_stages(sf.trace(lambda a, b: np.tanh(a @ b) + 1)(a, b))
    program = stages.program
    native, out = compile_program(program), np.empty_like(value)
    arrays = dict(zip([x.name for x in program.arguments()], (a, b, out), strict=True))
    native.run(arrays)
    assert value.tobytes() == again.tobytes() == out.tobytes()
