"""Compiled and derived functions as Python functions: names, methods, copies, pickles."""

from __future__ import annotations

import copy
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

from ..boundary import boundary
from ..errors import NotPicklable
from ..frames import user_frame
from ..trace.scope import is_tracing

__all__ = ["Wrapping", "loaded"]

#: what ``help``, ``inspect`` and ``pickle`` ask of a function
_NAMES = ("__module__", "__qualname__", "__doc__")


class Wrapping:
    """Base of objects made of one Python function, ``__wrapped__``, by ``_again``.

    In a class it is a method: read from an instance, it is the same of the bound method, kept in
    the instance's ``__dict__`` (of an instance without one, the latest is kept)."""

    __slots__ = ()

    __wrapped__: Any
    _key: str
    _of: Any
    _method: Any

    def _again(self, fn: Callable[..., Any], bound: bool = False) -> Any:
        """The same of another function; ``bound``: a method whose first argument is given."""
        raise NotImplementedError

    def _maker(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """What makes such an object of the function and these arguments, for a pickle."""
        raise NotImplementedError

    def _take_names(self, fn: Callable[..., Any]) -> None:
        for name in _NAMES:
            if (value := getattr(fn, name, None)) is not None:
                setattr(self, name, value)
        # the key is no attribute's name; ``_of``: the instance of a bound method, ``_method``: what
        # it is in the class
        vars(self).update(_key=f"<{getattr(fn, '__qualname__', '')}>", _of=None, _method=None)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        try:
            found = instance.__dict__[self._key]
            if found._of is instance and found._method is self:  # a copy has what it kept, too
                return found
        except (AttributeError, KeyError):
            pass
        return self if instance is None else self._bind(instance)

    def _bind(self, instance: Any) -> Any:
        kept = getattr(instance, "__dict__", None)
        place = kept if isinstance(kept, dict) else vars(self)
        found = place.get(self._key)
        if found is None or found._of is not instance or found._method is not self:
            found = self._again(types.MethodType(self.__wrapped__, instance), bound=True)
            found._of, found._method = instance, self
            if not is_tracing():
                place[self._key] = found
        return found

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Itself, as a function is; of a bound method or another callable object, of a copy."""
        fn = self.__wrapped__
        if isinstance(fn, types.FunctionType | types.BuiltinFunctionType):
            return self
        return self._again(copy.deepcopy(fn, memo))

    @boundary
    def __reduce__(self) -> str | tuple[Any, ...]:
        """By name where it is found under it, otherwise the function and the options."""
        name: str = getattr(self, "__qualname__", "")
        if _found(getattr(self, "__module__", ""), name) is self:
            return name
        fn = self.__wrapped__
        if self._method is not None:
            return getattr, (self._of, fn.__name__)
        make, options = self._maker()
        return make, (_portable(fn), *options)


def _found(module: str, path: str) -> Any:
    """What is found under a name; None if there is nothing."""
    value: Any = sys.modules.get(module)
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _portable(fn: Callable[..., Any]) -> Any:
    """The function in a form that can be pickled; see ``loaded``."""
    try:
        pickle.dumps(fn)
        return fn
    except Exception as error:  # local functions, lambdas, what they hold: whatever is raised
        try:
            import cloudpickle
        except ImportError:
            raise NotPicklable(
                f"{getattr(fn, '__qualname__', fn)} is not found under its name by other "
                f"processes ({error})",
                place=user_frame(),
                right="def f(x): ...        # at the top level of a module\n"
                "pip install cloudpickle     # by which it is sent by value",
            ) from None
        return _ByValue(cloudpickle.dumps(fn))


class _ByValue:
    """A function as cloudpickle writes it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def loaded(fn: Any) -> Callable[..., Any]:
    """The function that a pickle held."""
    return pickle.loads(fn.data) if type(fn) is _ByValue else fn
