"""Small programs of the loop IR that together use every statement."""

import numpy as np
from symflux.codegen.builder import Builder


def saxpy(n=37, mode="vector", dtype="f32"):
    b = Builder("saxpy")
    x, y, a = b.input("x", dtype, n), b.inout("y", dtype, n), b.input("a", dtype, 1)
    with b.kernel("saxpy"), b.loop(n, mode=mode) as i:
        b.store(y, i, b.load(a, 0) * b.load(x, i) + b.load(y, i))
    return b.program()


def reduction(n=101, mode="vector", dtype="f64", op="add", start=0.0):
    b = Builder("reduction")
    x, out = b.input("x", dtype, n), b.output("out", dtype, 1)
    with b.kernel("reduce"):
        start = b.operand(start, dtype)
        with b.loop(n, mode=mode, carry=[start]) as i:
            (total,) = i.params
            i.yield_(b.let(op, total, b.load(x, i), reassociate=True))
        (total,) = i.results
        b.store(out, 0, total)
    return b.program()


def row_sums(rows=9, columns=21, outer="serial", inner="vector", dtype="f64"):
    b = Builder("row_sums")
    x, out = b.input("x", dtype, rows * columns), b.output("out", dtype, rows)
    with b.kernel("rows"), b.loop(rows, mode=outer) as i:
        with b.loop(columns, mode=inner, carry=[b.operand(0.0, dtype)]) as j:
            (total,) = j.params
            j.yield_(b.let("add", total, b.load(x, i * columns + j), reassociate=True))
        (total,) = j.results
        b.store(out, i, total)
    return b.program()


def collatz(n=20):
    """Steps of the Collatz map until 1, from each start: while, if and integers."""
    b = Builder("collatz")
    x, out = b.input("x", "i64", n), b.output("out", "i32", n)
    with b.kernel("collatz"), b.loop(n) as i:
        with b.while_([b.load(x, i), b.operand(0, "i32")]) as steps:
            value, count = steps.params
            steps.condition(value > 1)
            odd = b.let("eq", b.let("and", value, b.operand(1, "i64")), b.operand(1, "i64"))
            with b.if_(odd) as branch:
                branch.yield_(value * 3 + 1)
            with branch.otherwise as otherwise:
                otherwise.yield_(b.let("shr", value, b.operand(1, "i64")))
            steps.yield_(branch.results[0], count + 1)
        b.store(out, i, steps.results[1])
    return b.program()


def fibonacci(n=30):
    b = Builder("fibonacci")
    out = b.output("out", "u64", n)
    with b.kernel("fibonacci"):
        one = b.operand(1, "u64")
        with b.loop(n, carry=[b.operand(0, "u64"), one]) as i:
            first, second = i.params
            b.store(out, i, first)
            i.yield_(second, first + second)
    return b.program()


def two_kernels(n=50, arena=0):
    """A temporary between two kernels, and a table; ``arena`` makes scratch memory larger."""
    b = Builder("two_kernels")
    x, out = b.input("x", "f64", n), b.output("out", "f64", n)
    squares = b.temp("squares", "f64", n)
    if arena:
        b.temp("unused", "f64", arena // 8)
    table = b.const("table", "f64", np.array([0.5, 0.25, 2.0]).tobytes())
    with b.kernel("square", note="x * x"), b.loop(n, mode="vector") as i:
        b.store(squares, i, b.load(x, i) * b.load(x, i))
    with b.kernel("smooth"), b.loop(n - 2, mode="vector") as i:
        total = b.load(squares, i) * b.load(table, 0)
        with b.loop(2, mode="unroll", carry=[total]) as k:
            (partial,) = k.params
            k.yield_(partial + b.load(squares, i + k + 1) * b.load(table, k + 1))
        b.store(out, i + 1, k.results[0])
    with b.kernel("edges"):
        b.store(out, 0, b.load(x, 0))
        b.store(out, n - 1, b.load(x, n - 1))
    return b.program()


def sized():
    """An extent known only at the call."""
    b = Builder("sized")
    n = b.size("n")
    x, out = b.input("x", "f32", n), b.output("out", "f32", n)
    with b.kernel("scale"), b.loop(n, mode="vector") as i:
        b.store(out, i, b.load(x, i) * 3.0 - 1.0)
    return b.program()


def contraction(m=7, n=9, k=5, dtype="f64"):
    """``out = relu(a @ b + bias)``."""
    b = Builder("contraction")
    left, right = b.input("a", dtype, m * k), b.input("b", dtype, k * n)
    bias, out = b.input("bias", dtype, n), b.output("out", dtype, m * n)
    with b.kernel("dense"):
        dims = [("m", m, k, 0), ("n", n, 0, 1), ("k", k, 1, n)]
        with b.contract(left, right, dims) as product:
            row, column = product.indices
            total = product.acc + b.load(bias, column)
            b.store(out, row * n + column, b.let("maximum", total, b.operand(0.0, dtype)))
    return b.program()


def masks(n=40):
    """Bools in memory and in registers."""
    b = Builder("masks")
    x, out = b.input("x", "f64", n), b.output("out", "bool", n)
    keep, picked = b.input("keep", "bool", n), b.output("picked", "f64", n)
    with b.kernel("masks"), b.loop(n, mode="vector") as i:
        value, flag = b.load(x, i), b.load(keep, i)
        positive = b.let("and", value > 0.0, flag)
        b.store(out, i, positive)
        b.store(picked, i, b.let("select", positive, value, -value))
    return b.program()


def long_line(nodes, live=8):
    """A straight line of ``nodes`` operations over a few values that stay live throughout."""
    b = Builder("long_line")
    x, out = b.input("x", "f64", live), b.output("out", "f64", live)
    with b.kernel("line"):
        values = [b.load(x, k) for k in range(live)]
        for k in range(nodes):
            first, second = values[k % live], values[(k * 5 + 3) % live]
            values[k % live] = (first * 0.5 - second) if k % 3 else (first + second * 0.25)
        for k, value in enumerate(values):
            b.store(out, k, value)
    return b.program()
