"""The generated Python entry: what it takes, what it returns, and that it leaks nothing."""

import gc
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest
from symflux.codegen.builder import Builder
from symflux.codegen.llvm import arguments, capi
from symflux.codegen.llvm.callspec import CallSpec, Leaf, Node, Static
from symflux.codegen.llvm.pycall import build_entry
from symflux.codegen.scalars import numpy_dtype

from symflux.thresholds import lowered

from . import programs


@pytest.fixture(params=[10**9, 0], ids=["optimised", "plain"])
def both_entries(request):
    """Code around a run that is optimised, and as it is around long runs."""
    with lowered(plain_entry=request.param):
        yield


def fallback(*args, **kwargs):
    return ("fallback", args, kwargs)


def scalar_entry(kind, dtype, result_kind=None, op="add"):
    """``f(x) = x op x`` on one scalar."""
    b = Builder("twice")
    x, y = b.input("x", dtype, 1), b.output("y", dtype, 1)
    with b.kernel("k"):
        value = b.load(x, 0)
        b.store(y, 0, b.let(op, value, value))
    result = Leaf(result_kind or kind, dtype, "y")
    spec = CallSpec("twice", (Leaf(kind, dtype, "x"),), result, fallback)
    return build_entry(b.program(), spec)


def array_entry(shape=(3, 4), dtype="f64", fall=fallback):
    """``f(x) = 2 x``."""
    n = int(np.prod(shape))
    b = Builder("double")
    x, y = b.input("x", dtype, n), b.output("y", dtype, n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        b.store(y, i, b.load(x, i) + b.load(x, i))
    leaf = Leaf("array", dtype, "x", shape)
    return build_entry(b.program(), CallSpec("double", (leaf,), Leaf("array", dtype, "y", shape),
                                             fall))  # fmt: skip


def bool_entry():
    """``f(x) = x & x`` on three bools."""
    b = Builder("same")
    x, y = b.input("x", "bool", 3), b.output("y", "bool", 3)
    with b.kernel("k"), b.loop(3, mode="vector") as i:
        b.store(y, i, b.let("and", b.load(x, i), b.load(x, i)))
    leaf = Leaf("array", "bool", "x", (3,))
    return build_entry(b.program(), CallSpec("same", (leaf,), Leaf("array", "bool", "y", (3,)),
                                             fallback))  # fmt: skip


def is_fallback(answer):
    return isinstance(answer, tuple) and isinstance(answer[0], str)


def test_float_to_float():
    f = scalar_entry("float", "f64").call
    assert f(1.5) == 3.0 and type(f(1.5)) is float
    assert scalar_entry("float", "f32").call(0.1) == float(np.float32(0.1) * 2)


@pytest.mark.parametrize("other", [1, True, "1", None, np.float64(1.5), np.float32(1), [1.0]])
def test_other_types_go_to_the_fallback(other):
    answer = scalar_entry("float", "f64").call(other)
    assert is_fallback(answer) and answer[1][0] is other


@pytest.mark.usefixtures("both_entries")
def test_argument_counts_and_keywords_go_to_the_fallback():
    f = scalar_entry("float", "f64").call
    assert f() == ("fallback", (), {})
    assert f(1.0, 2.0) == ("fallback", (1.0, 2.0), {})
    assert f(1.0, y=2) == ("fallback", (1.0,), {"y": 2})
    assert f(x=1.0) == ("fallback", (), {"x": 1.0})


def test_an_exception_of_the_fallback_comes_through():
    def fall(*args):
        raise KeyError("told you")

    with pytest.raises(KeyError, match="told you"):
        array_entry(fall=fall).call(1)


@pytest.mark.parametrize("dtype", ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"])
def test_ints_in_and_out_of_range(dtype):
    f = scalar_entry("int", dtype, op="or").call
    info = np.iinfo(numpy_dtype(dtype))
    highest = min(info.max, 2**63 - 1)
    for value in (info.min, 0, 1, highest):
        assert f(value) == value
    for value in (info.min - 1, info.max + 1, 10**30, -(10**30)):
        assert is_fallback(f(value))
    assert is_fallback(f(1.0))
    assert is_fallback(f(True))


def test_large_unsigned_results():
    b = Builder("top")
    y = b.output("y", "u64", 1)
    with b.kernel("k"):
        b.store(y, 0, b.operand(2**64 - 1, "u64"))
    spec = CallSpec("top", (), Leaf("int", "u64", "y"), fallback)
    assert build_entry(b.program(), spec).call() == 2**64 - 1


def test_bools():
    f = scalar_entry("bool", "bool", op="xor").call
    assert f(True) is False and f(False) is False
    assert scalar_entry("bool", "bool", op="and").call(True) is True
    assert is_fallback(f(1))


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64", "i8", "u32", "i64"])
def test_numpy_scalars(dtype):
    f = scalar_entry("numpy_scalar", dtype).call
    kind = numpy_dtype(dtype).type
    answer = f(kind(21))
    assert answer == 42 and type(answer) is kind
    assert is_fallback(f(21)) and is_fallback(f(21.0))
    assert is_fallback(f(np.array(21, kind)))


def test_array_to_new_array():
    f = array_entry().call
    x = np.arange(12.0).reshape(3, 4)
    y = f(x)
    np.testing.assert_array_equal(y, 2 * x)
    assert y.flags.owndata and y.flags.c_contiguous and y is not f(x)


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, "u1")
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


class Sub(np.ndarray):
    pass


@pytest.mark.usefixtures("both_entries")
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype("f4"),
        lambda x: x.astype("i8"),
        lambda x: x.astype(">f8"),
        lambda x: x.T,
        lambda x: x[::-1],
        lambda x: np.asfortranarray(x),
        lambda x: x[:2],
        lambda x: x.ravel(),
        lambda x: x[None],
        lambda x: x.view(Sub),
        lambda x: x.tolist(),
        unaligned,
        lambda x: x[0, 0],
    ],
)
def test_arrays_that_do_not_fit_go_to_the_fallback(change):
    x = np.arange(12.0).reshape(3, 4)
    assert is_fallback(array_entry().call(change(x)))


@pytest.mark.usefixtures("both_entries")
def test_a_dtype_object_from_a_pickle_fits():
    x = np.arange(12.0).reshape(3, 4)
    other = x.view(pickle.loads(pickle.dumps(np.dtype("f8"))))
    np.testing.assert_array_equal(array_entry().call(other), 2 * x)


@pytest.mark.usefixtures("both_entries")
@pytest.mark.parametrize("code", "bBhHiIlLqQ?efd")
def test_all_of_a_size_fit_by_number_and_byte_order(code):
    """C's integers of one size are one to the code; other kinds and byte orders are not."""
    dtype = np.dtype(code)
    name = {"b": "bool"}.get(dtype.kind) or f"{dtype.kind}{8 * dtype.itemsize}"
    f = array_entry((3,), name).call if name != "bool" else bool_entry().call
    x = np.array([0, 1, 3]).astype(dtype)
    np.testing.assert_array_equal(f(x), x if name == "bool" else 2 * x)
    for other in {np.dtype(c) for c in "bBhHiIlLqQ?efdFD"} - {dtype}:
        assert is_fallback(f(x.astype(other)))
    if dtype.itemsize > 1:
        assert is_fallback(f(x.astype(dtype.newbyteorder())))


@pytest.mark.parametrize("dtype", ["bool", "f16", "f32", "i8", "u16", "i64", "u64"])
def test_arrays_of_every_size_of_element(dtype):
    op = "or" if dtype == "bool" else "add"
    b = Builder("same")
    x, y = b.input("x", dtype, 5), b.output("y", dtype, 5)
    with b.kernel("k"), b.loop(5, mode="vector") as i:
        b.store(y, i, b.let(op, b.load(x, i), b.load(x, i)))
    spec = CallSpec("same", (Leaf("array", dtype, "x", (5,)),), Leaf("array", dtype, "y", (5,)),
                    fallback)  # fmt: skip
    x = np.array([0, 1, 2, 3, 4], numpy_dtype(dtype))
    answer = build_entry(b.program(), spec).call(x)
    assert answer.dtype == x.dtype
    np.testing.assert_array_equal(answer, x | x if dtype == "bool" else x + x)


def test_scalar_shaped_and_empty_arrays():
    np.testing.assert_array_equal(array_entry(()).call(np.array(3.0)), 6.0)
    assert array_entry((0, 3)).call(np.empty((0, 3))).shape == (0, 3)


def test_an_argument_given_twice():
    b = Builder("add")
    x, y, z = b.input("x", "f64", 4), b.input("y", "f64", 4), b.output("z", "f64", 4)
    with b.kernel("k"), b.loop(4, mode="vector") as i:
        b.store(z, i, b.load(x, i) + b.load(y, i))
    leaves = tuple(Leaf("array", "f64", name, (4,)) for name in "xy")
    f = build_entry(b.program(), CallSpec("add", leaves, Leaf("array", "f64", "z", (4,)),
                                          fallback)).call  # fmt: skip
    x = np.arange(4.0)
    np.testing.assert_array_equal(f(x, x), 2 * x)


def donating_entry(n=8):
    """``step(w, g)``: w -= g / 2 in place; returns (w, sum of g)."""
    b = Builder("step")
    w, g, s = b.inout("w", "f64", n), b.input("g", "f64", n), b.output("s", "f64", 1)
    with b.kernel("k"):
        with b.loop(n, mode="vector", carry=[0.0]) as i:
            b.store(w, i, b.load(w, i) - 0.5 * b.load(g, i))
            i.yield_(b.let("add", i.params[0], b.load(g, i), reassociate=True))
        b.store(s, 0, i.results[0])
    params = (Leaf("array", "f64", "w", (n,), donated=True), Leaf("array", "f64", "g", (n,)))
    result = Node("tuple", (Leaf("argument", "f64", "w"), Leaf("float", "f64", "s")))
    return build_entry(b.program(), CallSpec("step", params, result, fallback))


@pytest.mark.usefixtures("both_entries")
def test_donated_arrays_are_updated_in_place():
    f = donating_entry().call
    w, g = np.ones(8), np.arange(8.0)
    before = sys.getrefcount(w)
    answer = f(w, g)
    assert answer[0] is w and answer[1] == 28.0
    np.testing.assert_array_equal(w, 1 - 0.5 * g)
    del answer
    assert sys.getrefcount(w) == before


@pytest.mark.usefixtures("both_entries")
def test_donated_arrays_must_be_writeable_and_alone():
    f = donating_entry().call
    frozen = np.ones(8)
    frozen.flags.writeable = False
    assert is_fallback(f(frozen, np.ones(8)))
    w = np.ones(8)
    assert is_fallback(f(w, w))
    both = np.ones(12)
    assert is_fallback(f(both[:8], both[4:]))
    assert is_fallback(f(both[4:], both[:8]))
    apart = np.ones(16)
    assert not is_fallback(f(apart[:8], apart[8:]))
    assert not is_fallback(f(apart[8:], apart[:8]))


def nested_entry():
    """``f({"w": [a, b], "c": (s,)}, None)``: results in every container."""
    b = Builder("nested")
    a, c = b.input("a", "f64", 2), b.input("b", "f64", 2)
    s = b.input("s", "f64", 1)
    x, y = b.output("x", "f64", 2), b.output("y", "f64", 1)
    with b.kernel("k"):
        with b.loop(2) as i:
            b.store(x, i, b.load(a, i) * b.load(c, i))
        b.store(y, 0, b.load(s, 0) + 1.0)
    vector = [Leaf("array", "f64", name, (2,)) for name in "ab"]
    first = Node("dict", (Node("list", tuple(vector)),
                          Node("tuple", (Leaf("float", "f64", "s"),))), ("w", "c"))  # fmt: skip
    new, number = Leaf("array", "f64", "x", (2,)), Leaf("float", "f64", "y")
    result = Node("dict", (
        new,
        Node("tuple", (new, number, Static(None))),
        Node("list", (number, Leaf("argument", "f64", "a"), Node("dict", ()), Node("tuple", ()))),
        Node("dict", (number, Static("text")), (1, 2)),
    ), ("x", "t", "l", "d"))  # fmt: skip
    return build_entry(b.program(), CallSpec("nested", (first, Static(None)), result, fallback))


@pytest.mark.usefixtures("both_entries")
def test_nested_containers():
    f = nested_entry().call
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    answer = f({"w": [a, b], "c": (5.0,)}, None)
    x = answer["x"]
    assert list(answer) == ["x", "t", "l", "d"]
    np.testing.assert_array_equal(x, [3.0, 8.0])
    assert answer["t"][0] is x and answer["t"][1:] == (6.0, None)
    assert answer["l"][0] == 6.0 and answer["l"][1] is a and answer["l"][2:] == [{}, ()]
    assert answer["d"] == {1: 6.0, 2: "text"}


@pytest.mark.parametrize(
    "argument",
    [
        lambda a, b: {"w": [a, b]},
        lambda a, b: {"w": [a, b], "d": (5.0,)},
        lambda a, b: {"w": [a, b], "c": (5.0,), "d": 1},
        lambda a, b: {"w": [a], "c": (5.0,)},
        lambda a, b: {"w": (a, b), "c": (5.0,)},
        lambda a, b: {"w": [a, b], "c": [5.0]},
        lambda a, b: {"w": [a, b], "c": ()},
        lambda a, b: {"w": [a, b], "c": (5,)},
        lambda a, b: [("w", [a, b]), ("c", (5.0,))],
    ],
)
def test_containers_of_another_structure_go_to_the_fallback(argument):
    a = np.ones(2)
    assert is_fallback(nested_entry().call(argument(a, a), None))
    assert is_fallback(nested_entry().call({"w": [a, a], "c": (5.0,)}, 0))


def test_nested_containers_leak_nothing():
    f = nested_entry().call
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    argument = {"w": [a, b], "c": (5.0,)}
    f(argument, None)
    while gc.collect():  # what compiling left behind, in whatever order it goes
        pass
    before = sys.getrefcount(a), sys.getrefcount(argument)
    objects = len(gc.get_objects())
    answers = [f(argument, None) for _ in range(10)]
    x = answers[0]["x"]
    assert sys.getrefcount(x) == 4  # the dict, the tuple, ``x`` and the argument of getrefcount
    assert sys.getrefcount(a) == before[0] + 10
    text = sys.getrefcount(answers[0]["d"])
    assert text == 2
    del answers, x
    gc.collect()
    assert (sys.getrefcount(a), sys.getrefcount(argument)) == before
    assert abs(len(gc.get_objects()) - objects) < 10


def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_calls_leave_memory_flat():
    calls = [
        (nested_entry().call, ({"w": [np.ones(2), np.ones(2)], "c": (5.0,)}, None)),
        (array_entry().call, (np.ones((3, 4)),)),
        (array_entry().call, (np.ones(3),)),
        (scalar_entry("float", "f64").call, (1.5,)),
        (scalar_entry("numpy_scalar", "f32").call, (np.float32(1.5),)),
        (scalar_entry("int", "i64").call, (10**12,)),
    ]
    for f, args in calls:
        for _ in range(2000):
            f(*args)
    before = memory()
    for f, args in calls:
        for _ in range(30_000):
            f(*args)
    assert memory() - before < 1 << 20


def test_captured_arrays_are_read_at_every_call():
    b = Builder("shift")
    x, w, y = b.input("x", "f64", 3), b.input("w", "f64", 3), b.output("y", "f64", 3)
    with b.kernel("k"), b.loop(3, mode="vector") as i:
        b.store(y, i, b.load(x, i) + b.load(w, i))
    captured = np.array([10.0, 20.0, 30.0])
    result = Leaf("array", "f64", "y", (3,))
    spec = CallSpec("shift", (Leaf("array", "f64", "x", (3,)),), result, fallback,
                    (("w", captured),))  # fmt: skip
    f = build_entry(b.program(), spec).call
    np.testing.assert_array_equal(f(np.ones(3)), [11.0, 21.0, 31.0])
    captured[:] = 0.5
    np.testing.assert_array_equal(f(np.ones(3)), 1.5)
    captured.resize((4,), refcheck=False)
    assert is_fallback(f(np.ones(3)))


@pytest.mark.usefixtures("both_entries")
def test_sizes_come_from_the_shapes():
    b = Builder("rows")
    n = b.size("n")
    x, y = b.input("x", "f64", n), b.output("y", "f64", n)
    w = b.input("w", "f64", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        b.store(y, i, b.load(x, i) * b.load(w, i))
    params = (Leaf("array", "f64", "x", (n,)), Leaf("array", "f64", "w", (n,)))
    f = build_entry(b.program(), CallSpec("rows", params, Leaf("array", "f64", "y", (n,)),
                                          fallback)).call  # fmt: skip
    for size in (0, 1, 33):
        x = np.arange(float(size))
        np.testing.assert_array_equal(f(x, x), x * x)
    assert is_fallback(f(np.ones(3), np.ones(4)))


def failing_entry():
    """The first result is small, the second can never be allocated."""
    b = Builder("huge")
    x, y, z = b.input("x", "f64", 1), b.output("y", "f64", 1), b.output("z", "f64", 1 << 50)
    with b.kernel("k"):
        b.store(y, 0, b.load(x, 0))
        b.store(z, 0, b.load(x, 0))
    result = Node("list", (Leaf("array", "f64", "y", (1,)), Leaf("array", "f64", "z", (1 << 50,))))
    params = (Leaf("array", "f64", "x", (1,)),)
    return build_entry(b.program(), CallSpec("huge", params, result, fallback)).call


@pytest.mark.usefixtures("both_entries")
def test_an_allocation_that_fails_releases_what_was_allocated():
    f = failing_entry()
    x = np.ones(1)
    gc.collect()
    before = sys.getrefcount(x), sys.getrefcount(np.dtype("f8")), sys.getallocatedblocks()
    failures = 0
    for _ in range(1000):
        try:
            f(x)
        except MemoryError:
            failures += 1
    assert failures == 1000
    assert sys.getrefcount(x) == before[0]
    assert abs(sys.getrefcount(np.dtype("f8")) - before[1]) < 5
    assert sys.getallocatedblocks() - before[2] < 50


def test_scratch_memory_that_cannot_be_had_is_a_memory_error():
    program = programs.two_kernels(arena=1 << 55)
    shape = (50,)
    spec = CallSpec("smooth", (Leaf("array", "f64", "x", shape),),
                    Leaf("array", "f64", "out", shape), fallback)  # fmt: skip
    with pytest.raises(MemoryError):
        build_entry(program, spec).call(np.ones(50))


def function_in_a_cycle():
    """A function whose fallback refers to it, its code, and an object that it must keep alive."""
    marker = Sub((1,))
    b = Builder("hold")
    x, y = b.input("x", "f64", 1), b.output("y", "f64", 1)
    with b.kernel("k"):
        b.store(y, 0, b.load(x, 0))
    functions = []

    def fall(*args):
        return functions[0]

    spec = CallSpec("hold", (Static(marker),), Leaf("float", "f64", "y"), fall,
                    (("x", np.ones(1)),))  # fmt: skip
    functions.append(build_entry(b.program(), spec).call)
    return functions[0], weakref.ref(functions[0].__self__.code), weakref.ref(marker)


def test_dropping_the_function_frees_everything():
    f, code, marker = function_in_a_cycle()
    gc.collect()
    assert f(marker()) == 1.0
    assert f(None) is f
    del f
    gc.collect()
    assert code() is None and marker() is None


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_thousand_functions_compiled_and_dropped_leave_memory_flat():
    x = np.ones((3, 4))
    for _ in range(100):
        array_entry().call(x)
    gc.collect()
    before = memory()
    for _ in range(1000):
        array_entry().call(x)
    gc.collect()
    assert memory() - before < 4 << 20


def test_threads_share_one_function():
    """Scratch memory on the heap, the lock released: each call has its own."""
    n = 40_000
    program = programs.two_kernels(n, arena=1 << 16)
    spec = CallSpec("smooth", (Leaf("array", "f64", "x", (n,)),),
                    Leaf("array", "f64", "out", (n,)), fallback)  # fmt: skip
    entry = build_entry(program, spec)
    assert "PyEval_SaveThread" in entry.llvm_ir.split("@entry(", 1)[1]
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(n) for _ in range(8)]
    expected = [entry.call(x) for x in inputs]
    wrong = []

    def work(k):
        for _ in range(50):
            if not np.array_equal(entry.call(inputs[k]), expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_compiling_in_several_threads():
    answers = []

    def work():
        answers.extend(array_entry((k + 1,)).call(np.ones(k + 1)).sum() for k in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([2.0, 4.0, 6.0, 8.0, 10.0] * 4)


def test_specs_that_do_not_match_the_program():
    program = programs.saxpy(4)
    leaf = {name: Leaf("array", "f32", name, (n,)) for name, n in (("x", 4), ("y", 4), ("a", 1))}
    result = Leaf("argument", "f32", "y")
    with pytest.raises(ValueError, match="only INOUT buffers are donated"):
        build_entry(program, CallSpec("f", tuple(leaf.values()), result, fallback))
    with pytest.raises(ValueError, match="nothing is given for buffer a"):
        donated = Leaf("array", "f32", "y", (4,), donated=True)
        build_entry(program, CallSpec("f", (leaf["x"], donated), result, fallback))
    with pytest.raises(ValueError, match="result y is not an argument"):
        build_entry(program, CallSpec("f", (leaf["x"],), result, fallback))
    for wrong, message in (
        (Leaf("float", "f64", "q"), "no argument buffer q"),
        (Leaf("array", "f64", "x", (4,)), "holds f32"),
        (Leaf("array", "f32", "x", (5,)), "4 elements"),
        (leaf["y"], "given by two"),
    ):
        with pytest.raises(ValueError, match=message):
            build_entry(program, CallSpec("f", (leaf["y"], wrong), result, fallback))


def test_layouts_that_the_code_relies_on():
    """The documented fields lie where the generated code reads them."""
    import ctypes

    def word(obj, offset, kind=ctypes.c_int64):
        return kind.from_address(id(obj) + offset).value

    x = np.arange(6.0).reshape(2, 3)
    assert word(x, capi.ARRAY["data"]) == x.ctypes.data
    assert word(x, capi.ARRAY["nd"], ctypes.c_int32) == 2
    assert word(x, capi.ARRAY["descr"]) == id(x.dtype)
    assert word(x, capi.ARRAY["flags"], ctypes.c_int32) == x.flags.num
    assert word(x.dtype, capi.DESCR["type_num"], ctypes.c_int32) == x.dtype.num
    assert word(x.dtype, capi.DESCR["byteorder"], ctypes.c_int8) == ord("=")
    for dtype in map(np.dtype, "bhilqd?e"):
        described = arguments._described(dtype.num, ord(dtype.byteorder))
        mask = arguments._described(-1, 0xFF)
        assert word(dtype, capi.DESCR["word"]) & mask == described
    assert word((x, 1), capi.ITEMS) == id(x)
    assert word(1.5, capi.HEAD, ctypes.c_double) == 1.5
    assert word(np.float32(1.5), capi.HEAD, ctypes.c_float) == 1.5


class Spy:
    """A key that runs code when it is compared with one that is equal."""

    def __init__(self, name, act=lambda: None):
        self.name = name
        self.act = act

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        self.act()
        return getattr(other, "name", other) == self.name


def summed(keys, fall=fallback):
    """``f(d)``: the sum of the numbers behind the keys, weighted with 1, 10, 100 ..."""
    b = Builder("summed")
    inputs = [b.input(f"x{n}", "f64", 1) for n in range(len(keys))]
    y = b.output("y", "f64", 1)
    with b.kernel("k"):
        total = b.operand(0.0, "f64")
        for n, x in enumerate(inputs):
            total = total + b.load(x, 0) * float(10**n)
        b.store(y, 0, total)
    items = tuple(Leaf("float", "f64", x.name) for x in inputs)
    spec = CallSpec("summed", (Node("dict", items, tuple(keys)),), Leaf("float", "f64", "y"), fall)
    return build_entry(b.program(), spec).call


def test_comparing_keys_runs_no_code_of_the_users():
    """It could change the containers whose contents the entry holds without references."""

    def never():
        raise AssertionError("compared")

    f = summed(["a", "b"])
    assert f({"a": 1.0, "b": 2.0}) == 21.0
    for given in ({Spy("a", never): 1.0, "b": 2.0}, {"a": 1.0, Spy("b", never): 2.0}):
        assert is_fallback(f(given))
    spy = Spy("a", never)
    f = summed([spy, "b"])
    assert f({spy: 1.0, "b": 2.0}) == 21.0
    for given in ({Spy("a", never): 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0}):
        assert is_fallback(f(given))


def test_keys_are_compared_in_their_order_by_type_and_value():
    made = "".join(["lo", "ng name"])
    keys = ["long name", 1000, b"bytes", ("t", 1), 1]
    f = summed(keys)
    good = dict.fromkeys(keys, 1.0)
    assert f(good) == f({made: 1.0} | dict.fromkeys(keys[1:], 1.0)) == 11111.0
    assert f({k if k != 1000 else int("1000"): 1.0 for k in keys}) == 11111.0
    assert f({k if k != b"bytes" else bytes(bytearray(k)): 1.0 for k in keys}) == 11111.0
    assert is_fallback(f({k if k != 1 else True: 1.0 for k in keys}))
    assert is_fallback(f({k if k != 1000 else 1000.0: 1.0 for k in keys}))
    assert is_fallback(f(dict.fromkeys(reversed(keys), 1.0)))
    assert is_fallback(f(dict.fromkeys(keys[:4], 1.0)))
    assert is_fallback(f(good | {"more": 1.0}))
    renamed = dict(good)
    renamed["other"] = renamed.pop("long name")
    assert is_fallback(f(renamed))


def test_an_argument_that_leaves_its_container_meanwhile_is_still_returned():
    """A key of the result runs code when it is put in, after the run."""
    state = {"x": np.arange(3.0)}
    keys = [Spy("k", state.clear), Spy("k", state.clear)]
    b = Builder("step")
    x = b.inout("x", "f64", 3)
    with b.kernel("k"), b.loop(3) as i:
        b.store(x, i, b.load(x, i) + 1.0)
    argument = Node("dict", (Leaf("array", "f64", "x", (3,), donated=True),), ("x",))
    back = Leaf("argument", "f64", "x", (3,))
    spec = CallSpec("step", (argument,), Node("dict", (back, back), tuple(keys)), fallback)
    result = build_entry(b.program(), spec).call(state)
    assert not state and len(result) == 1
    (array,) = result.values()
    assert sys.getrefcount(array) == 3  # the dict, the name here, the call
    np.testing.assert_array_equal(array, [1.0, 2.0, 3.0])
