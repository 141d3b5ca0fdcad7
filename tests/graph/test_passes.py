"""The pipeline and the rewrite driver; single laws are tested in tests/laws."""

import pytest

from symflux.ir import Graph, constant, symbol
from symflux.ir.origin import Origin, derived
from symflux.ir.text import parse_graph, print_graph
from symflux.ir.verify import GraphVerifyError
from symflux.ir.walk import topological
from symflux.ops.elementwise import add, exp, log, mul, neg, sin, sub
from symflux.passes import PASSES, Pass, optimize
from symflux.passes.pipeline import checked
from symflux.passes.rewrite import Laws, law, most_nodes, rewrite, rule


def one_law(*laws, fast=False):
    table = Laws(laws, fast)
    return lambda graph: Graph(graph.name, graph.inputs, tuple(rewrite(graph.outputs, table)))


# --- the list -------------------------------------------------------------------------------------


def test_the_order_is_checked():
    first, second = (Pass(n, lambda g, o: g, after) for n, after in (("a", ()), ("b", ("a",))))
    assert checked([first, second]) == (first, second)
    with pytest.raises(ValueError, match="pass b must stand after a"):
        checked([second, first])
    with pytest.raises(ValueError, match="pass a stands in the list twice"):
        checked([first, first])


def test_the_passes():
    names = [p.name for p in PASSES]
    assert names == [
        "stable forms as written", "fold", "algebra", "index maps", "stable forms", "short sums",
        "dead", "bodies",
    ]  # fmt: skip
    assert checked(PASSES) == PASSES


def test_observers_see_what_changed():
    graph = parse_graph("graph f(x: f64)\n  %0 = sub x, 0.0\n  %1 = exp %0\n  return %1")
    seen = []
    result = optimize(
        graph, observers=[lambda p, before, after, seconds: seen.append((p.name, before, after))]
    )
    assert [name for name, _, _ in seen] == ["algebra"]
    assert seen[0][1] is graph
    assert seen[0][2] is result


def test_nothing_to_do_gives_the_same_object():
    x = symbol("x")
    graph = Graph("f", (x,), (sin(x),), ("y",))
    assert optimize(graph) is graph


def test_names_stay():
    x, unused = symbol("x"), symbol("unused")
    graph = optimize(Graph("f", (x, unused), (x * 1.0,), ("y",)))
    assert (graph.name, graph.inputs, graph.output_names) == ("f", (x, unused), ("y",))


def test_a_pass_that_breaks_the_graph_is_caught():
    stranger = symbol("stranger")
    broken = Pass("broken", lambda g, o: Graph(g.name, g.inputs, (stranger,)))
    mended = Pass("mended", lambda g, o: Graph(g.name, g.inputs, g.inputs))
    x = symbol("x")
    graph = Graph("f", (x,), (sin(x),))
    for level in ("end", "each"):
        with pytest.raises(GraphVerifyError, match="stranger"):
            optimize(graph, passes=[broken], verify_level=level)
    with pytest.raises(GraphVerifyError, match="stranger"):
        optimize(graph, passes=[broken, mended], verify_level="each")
    assert optimize(graph, passes=[broken, mended], verify_level="end").outputs == (x,)


def test_bodies_are_optimised_and_equal_bodies_once():
    body = "graph body(i: i64, c: f64)\n      %0 = mul c, 1.0\n      %1 = exp %0\n      return %1\n"
    graph = parse_graph(
        "graph f(x: f64, y: f64)\n"
        "  %0 = scan x carry=1 consts=0 length=3 reverse=false\n"
        f"    body: {body}"
        "  %1 = scan y carry=1 consts=0 length=3 reverse=false\n"
        f"    body: {body}"
        "  return %0.0, %1.0"
    )
    runs = []
    result = optimize(graph, observers=[lambda p, before, after, s: runs.append(before.name)])
    assert print_graph(result).count("mul") == 0
    assert runs.count("body") == 1


# --- the driver -----------------------------------------------------------------------------------


def test_a_law_sees_normal_inputs_and_its_result_is_normalised():
    x = symbol("x")
    simplify = one_law(law("-(-x)", "x"), law("x - -y", "x + y"), law("log(exp(x))", "x"))
    assert simplify(Graph("f", (x,), (neg(log(exp(neg(x)))),))).outputs == (x,)
    y = sub(x, neg(neg(neg(x))))
    assert simplify(Graph("f", (x,), (y,))).outputs == (add(x, x),)


def test_swapped_operands_are_one_value():
    x, y = symbol("x"), symbol("y")
    graph = Graph("f", (x, y), (mul(add(x, y), exp(add(y, x))), sub(x, y), sub(y, x)))
    result = one_law()(graph)
    product = result.outputs[0]
    assert product.inputs[1].inputs[0] is product.inputs[0]
    assert result.outputs[1:] == graph.outputs[1:]


def test_a_single_use_is_asked_for():
    x, y = symbol("x"), symbol("y")
    inverse = 1.0 / y
    only = one_law(law("x * (1 / y)", "x / y", single="div"))
    assert only(Graph("f", (x, y), (x * inverse,))).outputs == (x / y,)
    shared = Graph("f", (x, y), (x * inverse, inverse))
    assert only(shared).outputs == shared.outputs


def test_results_that_are_smaller_are_broadcast():
    x, c = symbol("x"), symbol("c", (3,), "bool")
    graph = Graph("f", (x, c), (parse_where(c, x),))
    (y,) = one_law(law("where(x, y, y)", "y", dtypes="b"))(graph).outputs
    assert y.op.name == "broadcast_to"
    assert y.inputs == (x,)


def parse_where(c, x):
    from symflux.ops.elementwise import where

    return where(c, x, x)


def test_laws_that_undo_each_other_do_not_stop_the_laws_beside_them():
    x, y = symbol("x"), symbol("y")
    table = Laws([law("x + -y", "x - y"), law("x - y", "x + -y"), law("exp(x)", "sin(x)")])
    first, second = rewrite([x - y, exp(x - y)], table)
    assert first.op in (add, sub)
    assert second.op is sin  # the laws beside them still do their work


def test_a_law_that_contains_itself_does_not_stop_a_program():
    """An optimiser never stops a program: the graph stays, and a debug setting says why."""
    x = symbol("x")
    said = []
    outputs = [exp(x), sin(x)]
    assert rewrite(outputs, Laws([law("exp(x)", "exp(x) * 1")]), report=said.append) == outputs
    assert said == ["laws undo each other, the graph stays as it was: exp(x) = exp(x) * 1"]


def test_laws_do_not_let_a_graph_grow_without_end():
    x = symbol("x")
    said = []
    (y,) = rewrite([exp(x)], Laws([law("exp(x)", "sin(exp(x + 1))")]), report=said.append)
    assert len(topological([y])) <= most_nodes(2)
    assert said == ["laws are not applied that make the graph too large: exp(x) = sin(exp(x + 1))"]


def test_a_law_asks_for_the_uses_of_what_laws_made():
    """A sum that was rebuilt, and one that two sums became, have all the users they had."""
    asked = []

    @rule("asking", "exp", ("sub",), examples="x: f64, y: f64 ; sub x, y ; exp %0")
    def asking(node, scope):
        asked.append(scope.single(node.inputs[0]))
        return None

    x, y = symbol("x"), symbol("y")
    table = Laws([law("x + -y", "x - y"), law("x * 1", "x"), law("sin(x) * 0", "0"), asking])
    one, other = x + -y, (x * 1) - y
    rewrite([sin(one) * 0.0, exp(one)], table)  # the other use is gone by then
    rewrite([exp(one), sin(one)], table)
    rewrite([exp(one), sin(other)], table)
    rewrite([exp(one)], table)
    assert asked == [True, False, False, True]


def test_a_law_that_changes_the_dtype_is_caught():
    @rule("wrong", "exp", examples="x: f64 ; exp x")
    def wrong(node, scope):
        return constant(1, "f32")

    x = symbol("x")
    with pytest.raises(TypeError, match="law 'wrong' turned f64 into f32"):
        one_law(wrong)(Graph("f", (x,), (exp(x),)))


def test_origins_survive():
    x = symbol("x")
    with derived(Origin("model.py", 7, "f"), ""):
        y = exp(x)
    with derived(Origin("model.py", 8, "f"), "vjp of sin"):
        z = mul(log(y + -y), 1.0)
    result = one_law(law("x + -y", "x - y"), law("x * 1", "x"))(Graph("f", (x,), (z,)))
    lines = print_graph(result, origins=True).splitlines()
    assert "# model.py:7" in lines[1]
    assert "# model.py:8 [vjp of sin]" in lines[2]
    assert "# model.py:8 [vjp of sin]" in lines[3]


def test_the_law_is_named_where_no_rule_is():
    x = symbol("x")
    with derived(Origin("model.py", 9, "f"), ""):
        y = log(exp(x) + 1.0)
    result = optimize(Graph("f", (x,), (y,)))
    assert result.outputs[0].op.name == "softplus"
    assert result.outputs[0].origin.line == 9
    assert result.outputs[0].origin.rule == "log1p(exp(x)) = softplus(x)"


@pytest.mark.slow
def test_large_graphs():
    """Deep and wide, with laws firing all along: no recursion, and no law is tried without end."""
    node = x = symbol("x")
    with derived(Origin("model.py", 1), ""):
        for _ in range(20_000):
            node = neg(neg(sin(node * 1.0)))
    graph = Graph("deep", (x,), (node,))
    result = optimize(graph)
    assert len(result.nodes) == 20_001


def test_derivative_graphs_are_simplified():
    """The gradient of a dense layer has no broadcasts, no casts and no double negations left."""
    from symflux.ops.contract import contract
    from symflux.ops.reduce import sum_
    from symflux.transform.vjp import vjp_graph

    x, w, b = symbol("x", (8, 4)), symbol("w", (3, 4)), symbol("b", (3,))
    y = contract(x, w, spec="ik,jk->ij") + b
    loss = sum_(log(1.0 + exp(-y)), axes=(0, 1))
    gradient = optimize(
        vjp_graph(optimize(Graph("f", (x, w, b), (loss,))), [False, True, True], [True])
    )
    names = [node.op.name for node in gradient.nodes]
    assert "transpose" not in names
    assert "exp" not in names  # softplus, and its derivative sigmoid
    assert names.count("contract") == 2
