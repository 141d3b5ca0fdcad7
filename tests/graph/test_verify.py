"""The verifier rejects graphs that break each of its rules."""

import pytest

from symflux.ir import Graph, constant, symbol
from symflux.ir.node import Node, item
from symflux.ir.op import LOCALLY_CONSTANT as CONSTANT_EVERYWHERE
from symflux.ir.op import Kind, Op
from symflux.ir.types import ArrayType
from symflux.ir.verify import GraphVerifyError, verify
from symflux.ops import control
from symflux.ops.elementwise import exp, mul


def forged(op, inputs=(), attrs=(), type_=None, id_=None):
    """A node that :func:`apply` would not make."""
    node = object.__new__(Node)
    node.op, node.inputs, node.attrs, node.origin = op, inputs, attrs, None
    node.type = type_ or ArrayType((), "f64")
    node.id = 10**12 if id_ is None else id_
    return node


def rejected(graph, rule, message):
    with pytest.raises(GraphVerifyError, match=message) as caught:
        verify(graph)
    assert caught.value.rule == rule


def test_a_good_graph_is_returned():
    x = symbol("x", (3,))
    graph = Graph("f", (x,), (mul(x, 2.0),))
    assert verify(graph) is graph


def test_inputs():
    x, y = symbol("x"), symbol("y")
    rejected(Graph("f", (exp(x),), ()), 1, "must be a node of op input")
    rejected(Graph("f", (x, x), (x,)), 1, "input x is listed twice")
    rejected(Graph("f", (x,), (mul(x, y),)), 2, "input y is not among the inputs")


def test_order():
    x = symbol("x")
    rejected(Graph("f", (x,), (forged(exp, (x,), id_=x.id - 1),)), 3, "younger than its user")
    twin = forged(exp, (x,), id_=x.id)
    rejected(Graph("f", (x,), (twin,)), 3, "two nodes have the same id")


def test_foreign_op():
    own = object.__new__(Op)
    for name, value in {
        "name": "mystery", "kind": Kind.OPAQUE, "infer": lambda: ArrayType((), "f64"),
        "derivative": CONSTANT_EVERYWHERE,
    }.items():  # fmt: skip
        object.__setattr__(own, name, value)
    rejected(Graph("f", (), (forged(own),)), 3, "mystery is not in the table")


def test_types():
    x = symbol("x", (3,))
    wrong = forged(exp, (x,), type_=ArrayType((4,), "f64"))
    rejected(Graph("f", (x,), (wrong,)), 4, r"infers f64\[3\], the node says f64\[4\]")
    y = symbol("y", (2,))
    rejected(Graph("f", (x, y), (forged(mul, (x, y)),)), 4, "rejects its inputs: .*broadcast")


def test_attributes():
    from symflux.ir.node import CONSTANT

    attrs = (("shape", ()), ("dtype", "f64"), ("data", b"8 bytes!"))
    rejected(Graph("f", (), (forged(CONSTANT, (), attrs),)), 5, "not sorted")
    attrs = (("data", bytearray(8)), ("dtype", "f64"), ("shape", ()))
    rejected(Graph("f", (), (forged(CONSTANT, (), attrs),)), 5, "no plain data")
    attrs = (("data", b"short"), ("dtype", "f64"), ("shape", ()))
    rejected(Graph("f", (), (forged(CONSTANT, (), attrs),)), 6, "5 bytes of data, the type needs 8")


def scan_of(body, *inputs, carry=1):
    return control.scan(*inputs, body=body, length=3, carry=carry, consts=0, reverse=False)


def test_several_results():
    i, c = symbol("i", (), "i64"), symbol("c")
    x = symbol("x")
    node = scan_of(Graph("body", (i, c), (c,)), x)
    verify(Graph("f", (x,), (item(node, 0),)))
    rejected(Graph("f", (x,), (node,)), 7, "must be one array")
    rejected(Graph("f", (x,), (forged(exp, (node,)),)), 7, "only item can use")


def test_graphs_inside():
    i, c, stranger = symbol("i", (), "i64"), symbol("c"), symbol("stranger")
    x = symbol("x")
    node = scan_of(Graph("body", (i, c), (mul(c, stranger),)), x)
    graph = Graph("f", (x,), (item(node, 0),))
    rejected(graph, 2, "stranger is not among the inputs(.|\n)*graph body")


def test_the_error_names_the_users_line():
    x, y = symbol("x"), symbol("y")
    graph = Graph("f", (x,), (mul(x, y),))
    with pytest.raises(GraphVerifyError, match=r"test_verify\.py"):
        verify(graph)
    assert constant(1.0).op.name == "constant"
