"""Text of graphs: what is printed, what is read back, and what errors say."""

import numpy as np
import pytest

from symflux.ir import Graph, constant, symbol
from symflux.ir.node import item
from symflux.ir.text import GraphParseError, parse_graph, print_graph
from symflux.ops import control
from symflux.ops.elementwise import add, cos, exp, mul, neg, sin, where


def round_trip(graph):
    text = print_graph(graph)
    again = parse_graph(text)
    assert print_graph(again) == text
    assert again == graph
    assert hash(again) == hash(graph)
    return text


def test_types_stand_in_a_column():
    x, w = symbol("x", (64, 784)), symbol("w", (10, 784))
    from symflux.ops.contract import contract

    y = contract(x, w, spec="ik,jk->ij")
    graph = Graph("mlp", (x, w), (exp(y),))
    assert round_trip(graph) == (
        "graph mlp(x: f64[64,784], w: f64[10,784]) -> f64[64,10]\n"
        '  %0 = contract x, w "ik,jk->ij"   : f64[64,10]\n'
        "  %1 = exp %0                      : f64[64,10]\n"
        "  return %1"
    )


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("f64", 2.0, "2.0"),
        ("f64", -0.0, "-0.0"),
        ("f64", np.inf, "inf"),
        ("f64", 1e-300, "1e-300"),
        ("f64", 0.1, "0.1"),
        ("f32", 0.1, "f32(0.1)"),
        ("f16", 0.1, "f16(0.1)"),
        ("f64", np.nan, "nan"),
        ("i64", -3, "-3"),
        ("u8", 255, "u8(255)"),
        ("bool", True, "true"),
        ("f32", [1.5, -np.inf], "f32([1.5, -inf])"),
        ("i64", [[1, 2], [3, 4]], "[[1, 2], [3, 4]]"),
        ("f64", np.zeros((0, 3)), "f64[0,3]([])"),
        ("bool", [True, False], "[true, false]"),
    ],
)
def test_literals(dtype, value, text):
    graph = Graph("f", (), (constant(value, dtype),))
    assert round_trip(graph).endswith(f"return {text}")


def test_nan_keeps_its_bits():
    strange = np.frombuffer(np.uint64(0x7FF8000000000001).tobytes(), "f8")[0]
    graph = Graph("f", (), (constant(strange, "f64"),))
    assert "nan(0x7ff8000000000001)" in round_trip(graph)
    usual = Graph("f", (), (constant(np.nan, "f64"),))
    assert usual != graph


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
def test_every_float_reads_back(dtype):
    from symflux.ir.types import numpy_dtype

    target = numpy_dtype(dtype)
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2 ** (8 * target.itemsize - 1), 16, dtype=np.uint64)
    values = bits.astype(f"u{target.itemsize}").view(target)
    round_trip(Graph("f", (), (constant(values, dtype),)))


def test_large_constants_are_bytes():
    values = np.arange(100.0)
    graph = Graph("f", (), (constant(values),))
    assert "%0 = constant 0x0000" in round_trip(graph)


def test_a_literal_takes_the_dtype_beside_it():
    x = symbol("x", (), "f32")
    condition = symbol("c", (), "bool")
    assert "mul x, 2.0 " in round_trip(Graph("f", (x,), (mul(x, 2.0),)))
    picked = where(condition, constant(1, "f32"), constant(2, "f32"))
    assert "where c, f32(1.0), f32(2.0)" in round_trip(Graph("f", (condition,), (picked,)))


def test_names_become_words_and_unique():
    x, y = symbol("a b"), symbol("a b")
    z, w = symbol("layers[0].weight"), symbol("true")
    graph = Graph("<lambda>", (x, y, z, w), (add(add(x, y), add(z, w)),))
    first = round_trip(graph).splitlines()[0]
    expected = "graph lambda(a_b: f64, a_b_2: f64, layers[0].weight: f64, _true: f64) -> f64"
    assert first == expected


def test_unused_inputs_and_names_of_outputs_are_kept():
    x, y = symbol("x"), symbol("y", (2,), "i32")
    graph = Graph("f", (x, y), (x, x), ("loss", "grad"))
    text = round_trip(graph)
    assert text.splitlines()[0] == "graph f(x: f64, y: i32[2]) -> loss: f64, grad: f64"
    assert parse_graph(text).output_names == ("loss", "grad")


def region_graph():
    i, c = symbol("i", (), "i64"), symbol("c")
    body = Graph("body", (i, c), (mul(c, 2.0), c))
    x = symbol("x")
    node = control.scan(x, body=body, length=3, carry=1, consts=0, reverse=False)
    return Graph("f", (x,), (item(node, 1), item(node, 0)))


def test_regions_are_blocks():
    assert round_trip(region_graph()) == (
        "graph f(x: f64) -> f64[3], f64\n"
        "  %0 = scan x carry=1 consts=0 length=3 reverse=false   : (f64, f64[3])\n"
        "    body: graph body(i: i64, c: f64) -> f64, f64\n"
        "      %0 = mul c, 2.0                                   : f64\n"
        "      return %0, c\n"
        "  return %0.1, %0.0"
    )


def test_canonical_text_knows_no_names_and_no_order_of_creation():
    def build(first, name):
        x = symbol(name)
        made = {}
        for op in first:
            made[op] = op(x)
        return Graph(name, (x,), (add(made[sin], made[cos]),))

    one, two = build((sin, cos), "x"), build((cos, sin), "other")
    assert print_graph(one) != print_graph(two)
    assert one == two
    assert hash(one) == hash(two)
    assert one != build((sin, cos), "x").__class__("x", one.inputs, (one.inputs[0],))
    text = print_graph(one, canonical=True)
    assert print_graph(parse_graph(text), canonical=True) == text


def test_canonical_text_tells_dtypes_shapes_and_attributes_apart():
    def one(shape, dtype, value):
        x = symbol("x", shape, dtype)
        return Graph("f", (x,), (mul(x, constant(value, dtype)),)).canonical

    texts = [one((), "f64", 1), one((1,), "f64", 1), one((), "f32", 1), one((), "f64", 2)]
    assert len(set(texts)) == 4
    assert one((), "f64", 0.0) != one((), "f64", -0.0)


def test_shared_nodes_that_depend_on_no_input_stand_before_their_use():
    from symflux.ops.shape import broadcast_to

    early = broadcast_to(constant(7.25), shape=(3,))
    x = symbol("x", (3,))
    y = sin(x)
    lines = round_trip(Graph("f", (x,), (add(y, early),))).splitlines()
    assert "sin" in lines[1]
    assert "broadcast_to 7.25" in lines[2]


def test_origins():
    x = symbol("x")
    y = neg(exp(x))  # this line
    text = print_graph(Graph("f", (x,), (y,)), origins=True)
    assert "# test_text.py:" in text
    assert "y = neg(exp(x))  # this line" in text
    parse_graph(text)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("graph f(x: f64) -> f64\n  return x y", 2, 12, "expected the end of the line, found 'y'"),
        ("graph f(x: f65)", 1, 12, "expected a type such as f64[3,4]"),
        ("graph f(x: f64)\n  %0 = foo x", 2, 8, "expected the name of an op, found 'foo'"),
        ("graph f(x: f64)\n  %0 = exp y", 2, 12, "nothing is named y here"),
        ("graph f(x: f64)\n  %0 = exp %1", 2, 12, "nothing is named %1 here"),
        ("graph f(x: f64)\n  %0 = exp x", 2, 13, "expected a line '%number = op ...'"),
        ("graph f(x: f64)\n  %0 = add x", 2, 8, "add: takes 2 operands, got 1"),
        ("graph f(x: f64[3], y: f64[2])\n  %0 = add x, y", 2, 8, "do not broadcast"),
        ("graph f(x: f64)\n  %0 = mul x, 2.0 : f32\n  return %0", 2, 8, "mul gives f64 here"),
        ("graph f(x: i8)\n  %0 = mul x, 300", 2, 15, "300 does not fit into i8"),
        ("graph f(x: i8)\n  %0 = mul x, 3.5\n", 2, 15, "no literal of i8"),
        ("graph f(x: f64, x: f64)", 1, 17, "two inputs are named x"),
        ("graph f(x: f64)\n  %0 = exp x\n  %0 = exp x", 3, 3, "%0 is defined twice"),
        ("graph f(x: f64) -> f32\n  return x", 2, 11, "result 0 has type f64"),
        ("graph f(x: f64)\n  return x\nmore", 3, 1, "expected the end of the text, found 'more'"),
        ("graph f(x: f64[2])\n  %0 = reshape x shape=(1,", 2, 27, "expected a value"),
        ("graph f(true: f64)", 1, 9, "expected the name of an input"),
        ("grph", 1, 1, "expected 'graph', found 'grph'"),
    ],
)
def test_errors_say_where_and_what(text, line, column, message):
    with pytest.raises(GraphParseError) as caught:
        parse_graph(text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_results_of_a_region_need_a_number():
    text = print_graph(region_graph())
    with pytest.raises(GraphParseError, match="number of one of %0's results"):
        parse_graph(text.replace("return %0.1, %0.0", "return %0"))
    with pytest.raises(GraphParseError, match="%0 has 2 results, no number 7"):
        parse_graph(text.replace("%0.1", "%0.7"))


def test_deep_graphs_print_and_parse():
    node = x = symbol("x")
    for _ in range(5000):
        node = sin(node)
    round_trip(Graph("deep", (x,), (node,)))
