"""The functions of one module in several: the same results, and nothing lost or doubled."""

import re

import numpy as np
import pytest
from symflux.codegen.llvm.emit import Emitter
from symflux.codegen.llvm.share import share_out

from symflux.thresholds import lowered

from . import programs
from .test_programs import CASES, both


@pytest.fixture
def many_modules():
    with lowered(module_lines=10):
        yield


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("name", CASES)
def test_shared_out_programs_do_what_the_interpreter_does(many_modules, name):
    native, oracle = both(CASES[name])
    for buffer, array in oracle.items():
        if array.dtype.kind == "f":
            rtol = {2: 5e-3, 4: 1e-5, 8: 1e-13}[array.dtype.itemsize]
            scale = np.max(np.abs(array), initial=1.0)
            np.testing.assert_allclose(native[buffer], array, rtol=rtol, atol=rtol * scale)
        else:
            np.testing.assert_array_equal(native[buffer], array)


def test_every_function_is_defined_once(many_modules):
    program = programs.contraction(100, 100, 100)
    modules = [m.text for m in Emitter(program).modules()]
    assert len(modules) > 1
    defined = [re.findall(r"define (?!internal)[^@]*@([\w.]+)\(", text) for text in modules]
    names = [name for found in defined for name in found]
    assert sorted(names) == sorted(set(names))
    for text in modules:
        own = set(re.findall(r"define [^@]*@([\w.]+)\(", text))
        declared = set(re.findall(r"declare [^@]*@([\w.]+)\(", text))
        called = set(re.findall(r"call [^@\n]*@([\w.]+)\(", text))
        assert own.isdisjoint(declared)
        assert {n for n in called if not n.startswith("llvm.")} <= own | declared


def test_small_modules_stay_whole():
    texts = ["define internal void @f() #0 {\nentry:\n  ret void\n}\n", "declare void @g()"]
    assert share_out(texts, ["#1"]) == [texts]


def test_functions_follow_their_callers_and_globals(many_modules):
    def function(name, group, *callees, lines=20):
        calls = "".join(f"  call void @{callee}()\n" for callee in callees)
        filler = "  fence seq_cst\n" * lines
        return f"define internal void @{name}() {group} {{\nentry:\n{calls}{filler}  ret void\n}}\n"

    texts = [
        "@slot = internal global ptr null",
        "declare void @free()",
        function("helper", "#1", "deeper"),
        function("deeper", "#1", "free"),
        function("keeps", "#0").replace("fence", "store ptr null, ptr @slot ; fence", 1),
        function("one", "#0", "helper"),
        function("two", "#2", "one"),
        function("main", "#0", "two", "keeps").replace("internal ", ""),
    ]
    main, *others = ["\n".join(module) for module in share_out(texts, ["#1"])]
    assert "@slot = " in main
    assert "define void @keeps" in main
    assert "define void @main" in main
    assert "declare void @two" in main
    assert "define void @two" not in main
    (with_one,) = [text for text in others if "define void @one" in text]
    assert "define internal void @helper" in with_one
    assert "define internal void @deeper" in with_one
    assert "declare void @free" in with_one
    assert "@helper" not in main
