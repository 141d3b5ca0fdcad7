"""The examples in the docstrings of ``symflux.codegen`` run.

They are found through the package's import name: collected by path they would be imported a second
time, as a top-level package ``codegen``.
"""

import doctest
import importlib
import pkgutil

import pytest
import symflux.codegen

MODULES = sorted(
    m.name for m in pkgutil.walk_packages(symflux.codegen.__path__, "symflux.codegen.")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module)
    assert not failed
