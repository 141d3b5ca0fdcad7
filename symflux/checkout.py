"""Where ``symflux.codegen`` is found in a checkout: beside the package, not in it."""

from __future__ import annotations

import os
import sys

_package = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_package, "codegen")):
    sys.modules[__package__].__path__.append(os.path.dirname(_package))
