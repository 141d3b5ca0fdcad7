"""A native Python function, and the texts that it came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .machine import host

if TYPE_CHECKING:
    from ..ir import Program
    from .callspec import CallSpec
    from .optimise import ModuleText

__all__ = ["Entry"]


class Entry:
    """A native Python function (``call``) and the texts it came from.

    ``program`` is made when it is asked for: an entry that was loaded does without."""

    __slots__ = ("__weakref__", "_fast_math", "_program", "_spec", "_texts", "call")

    def __init__(
        self, program: Callable[[], Program], spec: CallSpec, call: Any, fast_math: bool = False
    ) -> None:
        self._program = program
        self.call = call
        self._spec = spec
        self._fast_math = fast_math
        self._texts: tuple[str, str] | None = None

    @property
    def program(self) -> Program:
        return self._program()

    def _modules(self) -> list[ModuleText]:
        from .pycall import write_modules  # only for those who read

        return write_modules(self.program, self._spec, self._fast_math)

    @property
    def llvm_ir(self) -> str:
        """The module (or modules) as written, before LLVM's passes."""
        from .jit import joined

        return joined(self._modules())

    @property
    def llvm_optimized(self) -> str:
        """The module after LLVM's passes."""
        return self._read()[0]

    @property
    def asm(self) -> str:
        """The machine code as assembly."""
        return self._read()[1]

    def _read(self) -> tuple[str, str]:
        from .jit import assemble

        if self._texts is None:
            self._texts = assemble(self._modules(), host())
        return self._texts
