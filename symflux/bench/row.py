"""A row of the table: one computation on one size, and how each tool does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Row", "differentiable"]

#: What a tool is given (its module's name space and the inputs) and what it returns: see ``tools``.
Builder = Callable[..., Any]


@dataclass(frozen=True)
class Row:
    """One computation.

    Attributes:
        workload, size, variant: its name; the variant is ``forward``, ``gradient`` (value and
            gradient), ``jacobian``, ``hessian`` or ``step``.
        inputs: makes the arguments: NumPy arrays and numbers, in containers if need be. The same
            at every call.
        tools: tool -> builder; what a builder is given and returns is said in ``tools``.
        rtol: how far results may differ, relative to the largest element of the array.
        small: cheap enough for the test suite.
        function: for gradients, ``function(numpy)`` is the value alone as a NumPy function, which
            tests difference; ``argnums`` are the arguments it is differentiated by.
        torch_compile: whether PyTorch's builder serves ``torch.compile`` as well (a single
            operation gains nothing by it).
    """

    workload: str
    size: str
    variant: str
    inputs: Callable[[], tuple[Any, ...]]
    tools: Mapping[str, Builder]
    rtol: float = 1e-9
    small: bool = False
    function: Builder | None = None
    argnums: tuple[int, ...] = (0,)
    torch_compile: bool = True

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.workload, self.size, self.variant) if part)


def differentiable(
    workload: str,
    size: str,
    inputs: Callable[[], tuple[Any, ...]],
    function: Builder,
    *,
    argnums: int | tuple[int, ...] = 0,
    rtol: float = 1e-9,
    small: bool = False,
    torch: Builder | None = None,
    forward: Mapping[str, Builder] | None = None,
    gradient: Mapping[str, Builder] | None = None,
    variants: Sequence[str] = ("forward", "gradient"),
    torch_compile: bool = True,
) -> list[Row]:
    """Rows of a function with one number as its result: its value, and value and gradient.

    ``function(np)`` is the function, written with the names that NumPy and ``jax.numpy`` share:
    SymFlux, NumPy and JAX get it as it is. ``torch(torch)`` is the same in PyTorch. ``forward``
    and ``gradient`` add builders of other tools, or replace the ones made here.
    """
    value: dict[str, Builder] = {
        "symflux": lambda sf, np: sf.compile(function(np)),
        "numpy": lambda np: function(np),
        "jax": lambda jax, np: jax.jit(function(np)),
    }
    both: dict[str, Builder] = {
        "symflux": lambda sf, np: sf.compile(sf.value_and_grad(function(np), argnums)),
        "jax": lambda jax, np: jax.jit(jax.value_and_grad(function(np), argnums)),
    }
    if torch is not None:
        of_torch = torch
        value["torch"] = lambda t: of_torch(t)
        both["torch"] = lambda t: torch_value_and_grad(t, of_torch(t), argnums)
    value |= forward or {}
    both |= gradient or {}
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    shared: dict[str, Any] = {"torch_compile": torch_compile, "argnums": numbers}
    made = {
        "forward": Row(workload, size, "forward", inputs, value, rtol, small, **shared),
        "gradient": Row(workload, size, "gradient", inputs, both, rtol, small, function, **shared),
    }
    return [made[variant] for variant in variants]


def torch_value_and_grad(
    torch: Any, function: Callable[..., Any], argnums: int | tuple[int, ...]
) -> Callable[..., Any]:
    """Value and gradient of a PyTorch function, in the form that SymFlux and JAX return."""
    numbers = (argnums,) if isinstance(argnums, int) else argnums

    def call(*args: Any) -> Any:
        given = list(args)
        for i in numbers:
            given[i] = map_tensors(lambda t: t.detach().requires_grad_(True), given[i])
        wanted: list[Any] = []
        for i in numbers:
            map_tensors(wanted.append, given[i])
        value = function(*given)
        found = iter(torch.autograd.grad(value, wanted))
        grads = tuple(map_tensors(lambda _: next(found), given[i]) for i in numbers)
        return value.detach(), grads[0] if isinstance(argnums, int) else grads

    return call


def map_tensors(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to the leaves of nested containers; those of a dict by its sorted keys,
    as JAX does."""
    if isinstance(value, dict):
        return {k: map_tensors(function, value[k]) for k in sorted(value)}
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(function, v) for v in value)
    return function(value)
