"""The public functions: compile, trace, differentiate, batch, branch and loop."""

from __future__ import annotations

import functools
import inspect
import keyword
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from . import tree
from .boundary import boundary
from .errors import ArgumentError, OptionError
from .frames import shorten
from .ir.graph import Graph
from .ir.node import INPUT
from .ir.node import symbol as new_symbol
from .ir.origin import user_frame
from .ops.elementwise import stop_gradient as stop_gradient_op
from .runtime.execute import execute
from .runtime.function import Call, CompiledFunction, Options
from .runtime.recording import Recorder, trace_once
from .runtime.wrapping import Wrapping, loaded
from .runtime.written import check_donate
from .trace import trace as tracing
from .trace.arguments import name_of
from .trace.array import Array, as_node
from .trace.param import Gradients, Params, bind
from .trace.scope import is_tracing, short_dtype
from .transform import control_flow, functions
from .transform.control_flow import check_function

__all__ = [
    "compile",
    "cond",
    "fori_loop",
    "function",
    "grad",
    "gradient",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "map",
    "scan",
    "stop_gradient",
    "switch",
    "symbol",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]


# --- compiling ------------------------------------------------------------------------------------


@overload
def compile(
    fn: Callable[..., Any],
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate: str | Sequence[str] = (),
    write_back: bool = True,
) -> CompiledFunction: ...
@overload
def compile(
    fn: None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate: str | Sequence[str] = (),
    write_back: bool = True,
) -> Callable[[Callable[..., Any]], CompiledFunction]: ...
@boundary
def compile(
    fn: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate: str | Sequence[str] = (),
    write_back: bool = True,
) -> Any:
    """Compile a Python function of numbers and arrays to native code.

    The first call with arguments of new types (shapes, dtypes, container structure) traces
    ``fn`` and compiles the graph; later calls run machine code.

    Args:
        fn: a function of Python numbers, NumPy arrays and nested containers of them. Without it, a
            decorator is returned.
        static_argnums: positions of arguments that are passed to ``fn`` as they are (hashable);
        each
            value gets its own compilation.
        static_argnames: the same by name.
        donate: names of arguments whose arrays the results may overwrite: a result of the same type
            is written in place, and the argument's own array is returned for it. Two donated arrays
            may not share memory.
        write_back: whether arrays among the arguments change where ``fn`` writes to them
            (``u[1:-1] += du``), as they do in NumPy; a result that is such an array is that very
            array. False: calls leave their arguments as they are.

    Returns:
        A callable with the same arguments, and ``out`` for arrays that results are written into
        (:class:`~symflux.runtime.function.CompiledFunction`). Its attributes ``graph``,
        ``kernels``, ``llvm_ir`` and ``asm`` show what was generated.

    Raises:
        TraceError: if ``fn`` does something that cannot be recorded; the message names the line.
        ArgumentError: if ``donate`` names no parameter; at a call, if an array that ``fn`` writes
            to is read-only or shares memory with another argument.

    >>> import numpy as np, symflux as sf
    >>> @sf.compile
    ... def norm(x):
    ...     return np.sqrt(np.sum(x**2))
    >>> float(norm(np.array([3.0, 4.0])))
    5.0
    """

    def wrap(fn: Callable[..., Any]) -> CompiledFunction:
        numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
        names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
        given = (donate,) if isinstance(donate, str) else tuple(donate)
        check_function("compile", fn, "sf.compile(f)(x)")
        check_donate(fn, given, names)
        if not numbers and not names:
            inherited = _statics(fn)
            numbers, names = inherited.static_argnums, inherited.static_argnames
        options = Options(numbers, names, given, write_back=write_back)
        return CompiledFunction(fn, options)

    return wrap if fn is None else wrap(fn)


@boundary
def trace(fn: Callable[..., Any]) -> Callable[..., Graph]:
    """The graph of a function: ``sf.trace(fn)(*args)`` records ``fn`` without running anything.

    >>> import symflux as sf
    >>> graph = sf.trace(lambda x: 3 * x**2 + 2 * x + 1)(2.0)
    >>> len(graph.inputs), len(graph.outputs)
    (1, 1)
    """

    @boundary
    @functools.wraps(fn)
    def traced(*args: Any, **kwargs: Any) -> Graph:
        target = fn.traced if isinstance(fn, Transformed) else fn
        return tracing.trace(target, args, kwargs).graph

    return traced


@boundary
def symbol(name: str, shape: int | Sequence[int] = (), dtype: Any = "float64") -> Array:
    """A symbolic array, to write an expression down directly; see :func:`function`.

    >>> import numpy as np, symflux as sf
    >>> x = sf.symbol("x", (2, 3), "float32")
    >>> y = np.sum(x * x, axis=0)
    >>> y.shape, y.dtype
    ((3,), dtype('float32'))
    """
    extents = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    return Array(new_symbol(name, extents, short_dtype(dtype)))


@boundary
def function(inputs: Sequence[Array], outputs: Any, name: str = "function") -> CompiledFunction:
    """Compile expressions of symbols: ``f(*values of inputs) -> values of outputs``.

    Args:
        inputs: symbols made by :func:`symbol`, in calling order.
        outputs: an expression or a nested container of expressions.

    The values have the declared dtypes, or convert to them without loss: a float for an integer
    and an integer that does not fit are errors. Floats may be rounded.

    >>> import numpy as np, symflux as sf
    >>> x, y = sf.symbol("x"), sf.symbol("y")
    >>> f = sf.function([x, y], {"sum": x + y, "product": x * y})
    >>> float(f(3.0, 4.0)["product"])
    12.0
    """
    leaves, structure = tree.flatten(outputs)
    graph = Graph(name, tuple(x.node for x in inputs), tuple(as_node(y) for y in leaves))

    _check_inputs(graph)

    def call(*args: Any) -> Any:
        types = [x.type for x in graph.inputs]
        if len(args) != len(types):
            raise ArgumentError(
                f"{name}() takes {len(types)} arguments, got {len(args)}",
                place=user_frame(),
                right=f"f({', '.join(x['name'] for x in graph.inputs)})",
            )
        nodes = [
            functions.conform(a, t, x["name"])
            for a, t, x in zip(args, types, graph.inputs, strict=True)
        ]
        return structure.unflatten([Array(n) for n in graph.call(nodes)])

    call.__name__ = name
    names = [x["name"] for x in graph.inputs]
    if len(set(names)) == len(names) and all(_is_plain_name(n) for n in names):
        positional = inspect.Parameter.POSITIONAL_ONLY
        parameters = [inspect.Parameter(n, positional) for n in names]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return CompiledFunction(call, Options(declared=tuple(x.dtype for x in graph.inputs)))


def _check_inputs(graph: Graph) -> None:
    """Raise where an expression has symbols that are no inputs."""
    given = {id(x) for x in graph.inputs}
    foreign = [n for n in graph.nodes if n.op is INPUT and id(n) not in given]
    if foreign:
        names = [x["name"] for x in (*graph.inputs, *foreign)]
        raise ArgumentError(
            f"the outputs depend on the symbol `{foreign[0]['name']}`, which is none of the inputs",
            place=user_frame(),
            right=f"sf.function([{', '.join(names)}], ...)",
        )


def _is_plain_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


# --- derivatives ----------------------------------------------------------------------------------


class Transformed(Wrapping):
    """A derived function. Called with plain arrays it runs natively (compiled on its second call
    with the same types; the first call shares compilations with equal graphs); called inside a
    trace it becomes part of that graph."""

    __slots__ = (
        "__dict__", "__name__", "__weakref__", "__wrapped__", "_called", "_compiled", "_options",
        "_transform", "statics", "traced",
    )  # fmt: skip

    def __init__(
        self, fn: Callable[..., Any], traced: Callable[..., Any], name: str, *options: Any
    ) -> None:
        check_function(name, fn, f"sf.{name}(f)(x)            # not of f(x)")
        self.__wrapped__ = fn
        self._transform, self._options = name, options  # which make it again of another function
        self._take_names(fn)
        self.__name__ = f"{name}_{getattr(fn, '__name__', 'function')}".replace(
            "<lambda>", "lambda"
        )
        # what its graph and the inputs of that are called
        functools.update_wrapper(traced, fn, assigned=(), updated=())
        traced.__name__ = self.__name__
        self.traced = traced
        self._compiled: CompiledFunction | None = None
        self._called = False
        self.statics = _statics(fn)
        inner = fn.traced if isinstance(fn, Transformed) else fn
        shown = getattr(inner, "expression", name_of(fn))
        traced.expression = f"sf.{name}({shown})"  # type: ignore[attr-defined]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if is_tracing():
                return self.traced(*args, **kwargs)
            if self._compiled is not None:
                return self._compiled(*args, **kwargs)
            if not self._called and "out" not in kwargs:
                self._called = True
                return run_now(self.traced, args, kwargs, self.statics, again=True)
            self._compiled = CompiledFunction(self.traced, self.statics)
            return self._compiled(*args, **kwargs)
        except Exception as error:
            shorten(error)
            raise

    def _again(self, fn: Callable[..., Any], bound: bool = False) -> Transformed:
        return _transformed(fn, self._transform, *self._options)

    def _maker(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _transformed, (self._transform, *self._options)

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


def _transformed(fn: Any, transform: str, *options: Any) -> Transformed:
    """The derived function that a pickle held, or of a method."""
    derived: Transformed = globals()[transform](loaded(fn), *options)
    return derived


def _statics(fn: Any) -> Options:
    return fn.statics if isinstance(fn, CompiledFunction | Transformed) else Options()


def run_now(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    options: Options | None = None,
    again: bool = False,
) -> Any:
    """Trace a function and run its graph once, through the cache of graphs.

    ``again``: later calls will not trace it, so that it is recorded as for these. Otherwise it may
    draw random numbers, and writes to arrays of its surroundings while it is traced."""
    call = Call(fn, tuple(args), kwargs, options or Options())
    if again:
        Recorder(fn, call.settings()).record(call)
    else:
        trace_once(call)
    return call.finish(execute(call.traced.graph, call.values()))


@boundary
def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Transformed:
    """A function that returns ``(fn(...), gradient)``, computed together.

    Args:
        fn: returns one floating-point scalar (with ``has_aux``: a pair of it and anything else).
        argnums: which positional arguments to differentiate by; an int, or several.
        has_aux: whether ``fn`` returns ``(value, aux)``; then the result is ``((value, aux),
        gradient)``.

    Returns:
        A function of the same arguments. The gradient has the structure of the argument (a tuple of
        such for several ``argnums``).

    Raises:
        ShapeError: if ``fn`` does not return a scalar.
        DerivativeError: if an argument or an operation on the way has no derivative.

    >>> import symflux as sf
    >>> value, slope = sf.value_and_grad(lambda x: 3 * x**2 + 2 * x + 1)(2.0)
    >>> float(value), float(slope)
    (17.0, 14.0)
    """

    def traced(*args: Any, **kwargs: Any) -> Any:
        return functions.value_and_gradient(fn, args, kwargs, argnums, has_aux)

    return Transformed(fn, traced, "value_and_grad", argnums, has_aux)


@boundary
def grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Transformed:
    """The gradient of a scalar function, in reverse mode; nests to any order.

    Arguments and errors as for :func:`value_and_grad`; returns the gradient, or ``(gradient,
    aux)``.

    >>> import symflux as sf
    >>> f = lambda x: 3 * x**2 + 2 * x + 1
    >>> float(sf.grad(f)(2.0)), float(sf.grad(sf.grad(f))(2.0))
    (14.0, 6.0)
    """

    def traced(*args: Any, **kwargs: Any) -> Any:
        value, gradient = functions.value_and_gradient(fn, args, kwargs, argnums, has_aux)
        return (gradient, value[1]) if has_aux else gradient

    return Transformed(fn, traced, "grad", argnums, has_aux)


@boundary
def gradient(fn: Callable[..., Any], *args: Any) -> Any:
    """The gradient now: of ``fn`` at ``args``, or with respect to params.

    With one argument, its gradient; with several, a tuple. ``gradient(lambda: loss(x, y),
    params(W, b))`` differentiates a function of no arguments by the params it uses; the result
    is indexed by param.

    >>> import symflux as sf
    >>> [float(g) for g in sf.gradient(lambda W, b, x: W * x + b, 2.0, 3.0, 4.0)]
    [4.0, 1.0, 2.0]
    >>> W, b = sf.param(2.0), sf.param(3.0)
    >>> grads = sf.gradient(lambda: W * 4.0 + b, sf.params(W, b))
    >>> float(grads[W]), float(grads[b])
    (4.0, 1.0)
    """
    by_params = len(args) == 1 and isinstance(args[0], Params)
    cure = "sf.gradient(lambda: loss(x, y), sf.params(W))" if by_params else "sf.gradient(f, x)"
    check_function("gradient", fn, f"{cure}      # not of loss(x, y), a number")
    if by_params:
        return _gradient_by_params(fn, args[0])
    argnums: int | Sequence[int] = 0 if len(args) == 1 else tuple(range(len(args)))

    def traced(*args: Any) -> Any:
        return functions.value_and_gradient(fn, args, {}, argnums, False, "gradient")[1]

    return traced(*args) if is_tracing() else run_now(traced, args, {})


def _gradient_by_params(fn: Callable[[], Any], wanted: Params) -> Any:
    members = list(wanted)

    def with_values(*values: Any) -> Any:
        with bind({p: as_node(v) for p, v in zip(members, values, strict=True)}):
            return fn()

    def traced() -> Any:
        values = [Array(as_node(p)) for p in members]
        return functions.value_and_gradient(
            with_values, values, {}, tuple(range(len(members))), False, "gradient"
        )[1]

    found = traced() if is_tracing() else run_now(traced, (), {})
    return Gradients(members, found)


@boundary
def jvp(fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``(fn(*primals), derivative of fn along tangents)``, in forward mode.

    Args:
        primals: the arguments.
        tangents: one for each primal, of the same structure and shapes; None leaves are zero.

    >>> import symflux as sf
    >>> value, slope = sf.jvp(lambda x: x**3, (2.0,), (1.0,))
    >>> float(value), float(slope)
    (8.0, 12.0)
    """

    def traced(primals: Any, tangents: Any) -> Any:
        return functions.forward_mode(fn, primals, tangents)

    if not all(isinstance(given, tuple | list) for given in (primals, tangents)):
        raise ArgumentError(
            "jvp takes a tuple of primals and one of tangents",
            place=user_frame(),
            wrong="sf.jvp(f, x, dx)",
            right="sf.jvp(f, (x,), (dx,))",
        )
    if is_tracing():
        return traced(tuple(primals), tuple(tangents))
    return run_now(traced, (tuple(primals), tuple(tangents)), {})


@boundary
def vjp(fn: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``(fn(*primals), pullback)``: ``pullback(cotangent)`` gives the cotangents of the primals, in
    reverse mode.

    >>> import numpy as np, symflux as sf
    >>> value, pullback = sf.vjp(lambda x: x**2, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    if is_tracing():
        return functions.reverse_mode(fn, primals)

    smooth = tree.map(lambda v: float(v) if type(v) is int else v, tuple(primals))
    call = Call(fn, smooth, {}, Options())
    trace_once(call)
    traced = call.traced
    # what the pullback is taken at, whatever changes later
    values = [v.copy() if isinstance(v, np.ndarray) else v for v in call.values()]
    value = run_now(fn, primals, {})
    count = len(traced.arguments.types)

    def pulled(primals: Any, captured: Any, cotangent: Any) -> Any:
        def again(*primals: Any) -> Any:
            return functions.replayed(traced, [*tree.leaves(primals), *captured])

        return functions.reverse_mode(again, primals)[1](cotangent)

    compiled = CompiledFunction(pulled, Options())
    given = tree.flatten(tuple(primals))[1].unflatten(values[:count])

    @boundary
    def pullback(cotangent: Any) -> tuple[Any, ...]:
        """The cotangents of the primals, one entry each."""
        return compiled(given, values[count:], cotangent)

    return value, pullback


@boundary
def jacobian(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, mode: str = "auto"
) -> Transformed:
    """All first derivatives: for a result of shape r and an argument of shape a, an array of
    shape r + a.

    Args:
        mode: ``"forward"`` (one sweep per argument element), ``"reverse"`` (one per result
        element), or
            ``"auto"``, whichever needs fewer. The sweeps run batched.

    >>> import numpy as np, symflux as sf
    >>> sf.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    if mode not in ("auto", "forward", "reverse"):
        raise OptionError(
            f"jacobian: mode is 'auto', 'forward' or 'reverse', not {mode!r}",
            place=user_frame(),
            right="sf.jacobian(f, mode='reverse')",
        )

    def traced(*args: Any, **kwargs: Any) -> Any:
        return functions.jacobian_of(fn, args, kwargs, argnums, mode)

    return Transformed(fn, traced, "jacobian", argnums, mode)


@boundary
def hessian(fn: Callable[..., Any], argnums: int = 0) -> Transformed:
    """All second derivatives of a scalar function: shape a + a, forward over reverse mode.

    >>> import numpy as np, symflux as sf
    >>> sf.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    check_function("hessian", fn, "sf.hessian(f)(x)            # not of f(x)")
    inner = grad(fn, argnums).traced

    def traced(*args: Any, **kwargs: Any) -> Any:
        return functions.jacobian_of(inner, args, kwargs, argnums, "forward")

    return Transformed(fn, traced, "hessian", argnums)


@boundary
def hvp(fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Hessian times vector without the Hessian: the derivative of the gradient along ``tangents``.

    >>> import numpy as np, symflux as sf
    >>> sf.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    array([6., 0.])
    """
    numbers = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(fn, numbers).traced, primals, tangents)[1]


@boundary
def vmap(fn: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Transformed:
    """Map a function over an axis of its arguments, as one graph.

    Args:
        in_axes: the axis of each positional argument (None: the same for all); an int for all of
        them,
            or a sequence with one entry per argument, nested like the argument where it is a
            container.
        out_axes: where the mapped axis goes in the results.

    >>> import numpy as np, symflux as sf
    >>> sf.vmap(np.dot, in_axes=(0, None))(np.eye(2), np.array([3.0, 4.0]))
    array([3., 4.])
    """

    def traced(*args: Any, **kwargs: Any) -> Any:
        return functions.batched(fn, args, kwargs, in_axes, out_axes)

    return Transformed(fn, traced, "vmap", in_axes, out_axes)


@boundary
def stop_gradient(x: Any) -> Any:
    """``x``, treated as a constant by derivatives (containers leaf by leaf).

    >>> import symflux as sf
    >>> float(sf.grad(lambda x: x * sf.stop_gradient(x))(3.0))
    3.0
    """
    leaves, structure = tree.flatten(x)
    return structure.unflatten(
        [Array(stop_gradient_op(v.node), v.weak) if isinstance(v, Array) else v for v in leaves]
    )


# --- control flow ---------------------------------------------------------------------------------


def _now_or_traced(fn: Callable[..., Any], *args: Any) -> Any:
    return fn(*args) if is_tracing() else run_now(fn, args, {})


@boundary
def cond(
    predicate: Any, then: Callable[..., Any], otherwise: Callable[..., Any], *operands: Any
) -> Any:
    """``then(*operands)`` where the scalar ``predicate`` holds, else ``otherwise(*operands)``.

    Only the branch taken runs. Both return the same structure and shapes; their dtypes are
    promoted as NumPy promotes them.

    >>> import symflux as sf
    >>> f = sf.compile(lambda x: sf.cond(x > 0, lambda v: v * 2, lambda v: -v, x))
    >>> float(f(3.0)), float(f(-3.0))
    (6.0, 3.0)
    """
    for branch in (then, otherwise):
        check_function("cond", branch, "sf.cond(x > 0, lambda: a, lambda: b)", len(operands))
    return _now_or_traced(
        lambda p, *xs: control_flow.cond(p, then, otherwise, xs), predicate, *operands
    )


@boundary
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``; the index is clamped to the branches there are.

    >>> import symflux as sf
    >>> float(sf.switch(1, [lambda v: v, lambda v: v * 10], 4.0))
    40.0
    """
    right = "sf.switch(i, [lambda: a, lambda: b])"
    for branch in () if callable(branches) else branches:
        check_function("switch", branch, right, len(operands))
    return _now_or_traced(lambda i, *xs: control_flow.switch(i, branches, xs), index, *operands)


@boundary
def scan(
    body: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """A loop that carries values and stacks results: ``carry, y = body(carry, x)`` for each x in
    xs.

    Args:
        body: returns the carry in the structure and shapes it came in, and a result for this
            element (or None). The carry gets the dtype that holds what comes in and what is
            returned, by NumPy's promotion.
        init: the first carry.
        xs: a container of arrays, looped over along their first axis (None: ``length`` iterations).
        reverse: run from the last element to the first; results keep the place of their element.

    Returns:
        ``(last carry, stacked results)``.

    >>> import numpy as np, symflux as sf
    >>> total, running = sf.scan(lambda c, x: (c + x, c + x), 0.0, np.array([1.0, 2.0, 3.0]))
    >>> float(total), running
    (6.0, array([1., 3., 6.]))
    """
    right = "sf.scan(body, init, xs)           # carry, y = body(carry, x)"
    check_function("scan", body, right, 2)
    return _now_or_traced(lambda c, x: control_flow.scan(body, c, x, length, reverse), init, xs)


@boundary
def fori_loop(lower: Any, upper: Any, body: Callable[[Any, Any], Any], init: Any) -> Any:
    """``for i in range(lower, upper): carry = body(i, carry)``; returns the last carry.

    With plain integer bounds it differentiates in both modes; with traced bounds, in forward mode.

    >>> import symflux as sf
    >>> float(sf.fori_loop(0, 5, lambda i, c: c * 2, 1.0))
    32.0
    """
    right = "sf.fori_loop(0, n, body, init)    # carry = body(i, carry)"
    check_function("fori_loop", body, right, 2)
    if isinstance(lower, (int, np.integer)) and isinstance(upper, (int, np.integer)):
        low, high = int(lower), int(upper)
        return _now_or_traced(lambda c: control_flow.fori_loop(low, high, body, c), init)
    return _now_or_traced(lambda a, b, c: control_flow.fori_loop(a, b, body, c), lower, upper, init)


@boundary
def while_loop(test: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
    """``while test(carry): carry = body(carry)``; returns the last carry. Forward mode only.

    >>> import symflux as sf
    >>> float(sf.while_loop(lambda x: x < 100.0, lambda x: x * 2, 1.0))
    128.0
    """
    right = "sf.while_loop(test, body, init)   # while test(carry): carry = body(carry)"
    check_function("while_loop", test, right, 1)
    check_function("while_loop", body, right, 1)
    return _now_or_traced(lambda c: control_flow.while_loop(test, body, c), init)


@boundary
def map(fn: Callable[[Any], Any], xs: Any) -> Any:
    """``fn`` of each element along the first axis, one after the other; see :func:`vmap` for all
    at once.

    >>> import numpy as np, symflux as sf
    >>> sf.map(lambda x: x * 2, np.array([1.0, 2.0]))
    array([2., 4.])
    """
    check_function("map", fn, "sf.map(f, xs)                     # y = f(x)", 1)
    return _now_or_traced(lambda x: control_flow.map_(fn, x), xs)
