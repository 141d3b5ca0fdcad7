"""Long blocks as several functions, in several modules: the same results, wherever they are cut."""

import struct

import numpy as np
import pytest
from symflux.codegen.builder import Builder
from symflux.codegen.ir import Let
from symflux.codegen.llvm import split, straight
from symflux.codegen.llvm.emit import Emitter
from symflux.codegen.llvm.jit import compile_program
from symflux.codegen.llvm.machine import at_level, host
from symflux.codegen.llvm.objects import objects_of

from symflux.thresholds import lowered

from .programs import long_line
from .test_programs import arguments, both


@pytest.fixture
def small_pieces():
    """Cut after few statements, into many modules, with a memory area that is soon too large."""
    with lowered(
        function_statements=12, straight_from=5, straight_statements=20, stack_values=64,
        module_statements=40,
    ):  # fmt: skip
        yield


def mixed(live=12):
    """Straight lines of floats, integers and bools, with loops and elementary functions between."""
    b = Builder("mixed")
    x, out = b.input("x", "f64", live), b.output("out", "f64", live)
    flags = b.output("flags", "bool", live)
    with b.kernel("mixed"):
        values = [b.load(x, k) for k in range(live)]
        for k in range(2 * live):
            a, c = values[k % live], values[(k * 5 + 3) % live]
            values[k % live] = b.let("sin", a) * 0.5 - c
        signs = [value > 0.0 for value in values]
        with b.loop(live, mode="vector") as i:
            b.store(out, i, b.load(x, i) * values[0])
        for k in range(live):
            values[k] = b.let("select", signs[k], b.let("exp", -values[k]), values[k] + 1.0)
        with b.loop(3, carry=[values[1]]) as i:
            i.yield_(b.let("sin", i.params[0]) + values[2])
        for k in range(live):
            both_signs = b.let("and", signs[k], signs[(k + 1) % live])
            b.store(out, k, b.load(out, k) + values[k] * i.results[0])
            b.store(flags, k, both_signs)
    return b.program()


@pytest.mark.parametrize(
    "program", [mixed(), mixed(40), long_line(300, live=30)], ids=["mixed", "more", "line"]
)
def test_pieces_do_what_the_interpreter_does(small_pieces, program):
    native, oracle = both(program)
    for name, array in oracle.items():
        if array.dtype == bool:
            np.testing.assert_array_equal(native[name], array)
        else:
            np.testing.assert_allclose(native[name], array, rtol=1e-12, atol=1e-12)


def _names(text, start):
    lines = [line for line in text.splitlines() if line.startswith(start)]
    return {line.split("(")[0].split("@")[1] for line in lines}


@pytest.mark.parametrize(("most", "level"), [(8000, 2), (100, 0)])
def test_long_lines_are_modules_of_their_own(small_pieces, most, level):
    """LLVM works hard on those of programs that are not too long."""
    program = long_line(300, live=30)
    with lowered(optimised=most):
        modules = Emitter(program).modules()
        text = compile_program(program).llvm_ir
    assert len(modules) > 5
    assert [m.options.code_level for m in modules] == [level] * (len(modules) - 1) + [2]
    for module in modules:
        assert module.text in text
    declared = {n for n in _names(text, "declare") if not n.startswith("llvm.")}
    defined = _names(text, "define")
    assert declared
    assert declared <= defined


def test_many_values_between_pieces_lie_in_scratch_memory(small_pieces):
    emitter = Emitter(long_line(300, live=30))
    emitter.modules()
    assert emitter.long_blocks.area is not None
    assert emitter.program.arena == emitter.long_blocks.area.size >= 30 * 8


def test_elementary_functions_of_long_lines_are_shared(small_pieces):
    text = compile_program(mixed(40)).llvm_ir
    assert text.count("define void @sin_f64_side") == 1
    assert text.count("declare void @sin_f64_side") > 1


def test_the_same_text_every_time(small_pieces):
    first, second = (Emitter(mixed(40)).modules() for _ in range(2))
    assert first == second


def side_by_side(dtype="f64", live=24):
    """Chains of elementary functions beside each other, that read and write the same memory."""
    b = Builder("side_by_side")
    x, out = b.inout("x", dtype, live), b.output("out", dtype, live)
    with b.kernel("line"):
        values = [b.load(x, k) for k in range(live)]
        for round_ in range(4):
            for k in range(live):
                name = ("sin", "tanh", "exp")[(k + round_) % 3]
                values[k] = b.let(name, values[k] * 0.25) - values[(k * 7 + 1) % live] * 0.125
                if k % 5 == 0:
                    b.store(x, (k + 1) % live, b.let("pow", b.let("abs", values[k]) + 1.0, 1.5))
                if k % 4 == 0:
                    values[(k + 2) % live] = b.load(x, (k + 1) % live)
        for k in range(live):
            b.store(out, k, values[k])
    return b.program()


@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_elementary_functions_side_by_side(small_pieces, dtype):
    program = side_by_side(dtype)
    assert f"sin_{dtype}_side" in compile_program(program).llvm_ir
    native, oracle = both(program)
    for name, array in oracle.items():
        np.testing.assert_allclose(native[name], array, rtol=1e-4 if dtype == "f32" else 1e-12)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("op", ["sin", "exp", "tanh", "log", "pow", "arctan2"])
def test_side_by_side_or_alone_the_same_bits(monkeypatch, op, dtype):
    count = 30  # not a multiple of a vector
    b = Builder("functions")
    x, out = b.input("x", dtype, 2 * count), b.output("out", dtype, count)
    with b.kernel("line"):
        for k in range(count):
            second = [b.load(x, count + k)] if op in ("pow", "arctan2") else []
            b.store(out, k, b.let(op, b.let("abs", b.load(x, k)), *second))
    program = b.program()
    alone = arguments(program)
    compile_program(program).run(alone)
    with lowered(function_statements=12, straight_from=5):
        native = compile_program(program)
        assert f"{op}_{dtype}_side" in native.llvm_ir
    together = arguments(program)
    native.run(together)
    assert together["out"].tobytes() == alone["out"].tobytes()


def test_grouping_keeps_what_a_statement_needs_before_it():
    statements = side_by_side().kernels[0].body.statements
    steps = straight.grouped(statements, 64)
    flat = [s for step in steps for s in (step if isinstance(step, list) else [step])]
    assert sorted(map(id, flat)) == sorted(map(id, statements))
    assert max(len(step) for step in steps if isinstance(step, list)) > 4
    place = {id(s): n for n, s in enumerate(flat)}
    defined = {}
    accesses = {}
    for s in statements:
        for var in split.uses(s):
            assert place[id(defined[var])] < place[id(s)]
        for var in split.definitions(s):
            defined[var] = s
        if not isinstance(s, Let):
            accesses.setdefault(s.buffer, []).append(s)
    for buffer, found in accesses.items():
        order = [place[id(s)] for s in found]
        assert buffer.name != "x" or order == sorted(order)


def spread(seed, live=10, rounds=8):
    """Values of long lines that are used anywhere later: in lines, loops, branches, yields."""
    r = np.random.default_rng(seed)
    b = Builder("spread")
    x, out = b.inout("x", "f64", live), b.output("out", "f64", live)

    def pick():
        return values[r.integers(len(values))]

    with b.kernel("spread"):
        values = [b.load(x, k) for k in range(live)]
        for _ in range(rounds):
            name = ("sin", "tanh", "exp")[r.integers(3)]
            values += [b.let(name, pick() * 0.5) for _ in range(r.integers(1, 6))]
            values += [b.let("sin", pick()) for _ in range(r.integers(4))]
            way = r.integers(4)
            if way == 0:
                with b.loop(live, carry=[pick()]) as i:
                    i.yield_(i.params[0] * 0.25 + b.load(x, i) * pick())
                values.append(i.results[0])
            elif way == 1:
                with b.loop(live, mode="vector") as i:
                    b.store(x, i, b.load(x, i) * 0.5 + pick())
            elif way == 2:
                with b.if_(pick() > pick()):
                    b.store(x, int(r.integers(live)), pick())
            else:
                b.store(x, int(r.integers(live)), pick() * pick() * 0.125)
        for k in range(live):
            b.store(out, k, pick() + values[-1 - k])
    return b.program()


@pytest.mark.parametrize("seed", range(4))
def test_values_computed_side_by_side_are_found_later_in_their_piece(seed):
    """They were lost behind a loop or branch of the same piece: KeyError."""
    r = np.random.default_rng(seed)
    low = {
        name: int(r.choice(values))
        for name, values in {
            "function_statements": (12, 25, 50, 90),
            "straight_from": (5, 10, 1000),
            "straight_statements": (20, 50),
            "side_by_side": (1, 2, 3),
            "stack_values": (0, 64, 1000),
            "module_statements": (40, 1000),
        }.items()
    }
    with lowered(**low):
        native, oracle = both(spread(seed))
    for name, array in oracle.items():
        np.testing.assert_allclose(native[name], array, rtol=1e-12, atol=1e-12)


#: relocations of x86-64 that hold a whole address, or the place of one in a table beside the code
#: (System V psABI for AMD64, table "Relocation Types")
_WHOLE_ADDRESS = {1: "64", 9: "GOTPCREL", 41: "GOTPCRELX", 42: "REX_GOTPCRELX"}


def relocations(image):
    """(type, symbol) for each relocation of an object file (ELF, 64 bits, with addends)."""

    def cut(form, start, count=1):
        size = struct.calcsize(form)
        return [struct.unpack_from(form, image, start + k * size) for k in range(count)]

    assert image[:5] == b"\x7fELF\x02"
    (first,) = cut("<Q", 0x28)[0]
    (number,) = cut("<H", 0x3C)[0]
    headers = cut("<IIQQQQIIQQ", first, number)
    for _, kind, _, _, offset, size, symbols, _, _, entry in headers:
        if kind != 4:  # SHT_RELA
            continue
        _, _, _, _, table, _, names, _, _, _ = headers[symbols]
        for _, info, _ in cut("<QQq", offset, size // entry):
            (name,) = cut("<I", table + 24 * (info >> 32))[0]
            start = headers[names][4] + name
            yield info & 0xFFFFFFFF, image[start : image.index(b"\0", start)].decode()


@pytest.mark.skipif(not host().triple.startswith("x86_64"), reason="reads x86-64 objects")
@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_calls_between_modules_reach_any_distance(small_pieces, level):
    """Objects may lie anywhere in memory: calls from one to another go through full addresses."""
    machine = at_level(level)
    modules = Emitter(mixed(40), machine=machine).modules()
    declared = set().union(*(_names(module.text, "declare") for module in modules))
    between = {name for name in declared if not name.startswith("llvm.")}
    assert {"mixed_part0"} < between
    found = {}
    for image in objects_of(modules, machine):
        for kind, name in relocations(image):
            if name in between:
                found.setdefault(name, set()).add(kind)
    assert set(found) == between
    for name, kinds in found.items():
        assert kinds <= set(_WHOLE_ADDRESS), (name, kinds)
