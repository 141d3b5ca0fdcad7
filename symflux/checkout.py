"""Where ``symflux.codegen`` is found in a checkout: beside the package, not in it."""

from __future__ import annotations

import os
import sys
from typing import Any

_package = os.path.dirname(os.path.abspath(__file__))
_codegen = os.path.join(os.path.dirname(_package), "codegen")


class _Beside:
    """Finds that package when nothing else does."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name != f"{__package__}.codegen":
            return None
        from importlib.util import spec_from_file_location  # not loaded by installed packages

        place = os.path.join(_codegen, "__init__.py")
        return spec_from_file_location(name, place, submodule_search_locations=[_codegen])


if not os.path.isdir(os.path.join(_package, "codegen")) and os.path.isdir(_codegen):
    sys.meta_path.append(_Beside)
