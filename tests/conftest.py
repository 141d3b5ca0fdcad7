"""What every test shares: the flag that rewrites golden files, the guard against twin modules."""

import gc
import os
import sys

import pytest

from .quick import chosen

# Tests compile what they test, and leave the user's cache of compiled code alone. Those of the
# cache itself use folders of their own.
os.environ["SYMFLUX_CACHE_DIR"] = "off"
# In use only what is shown wrong is refused; here every program has to be proven.
os.environ["SYMFLUX_PROVE"] = "all"
# The tests and their cases live to the end: the collector need not look through them again and
# again, neither while they are found nor while they run.
gc.disable()


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the expected parts of tests/filetests instead of comparing with them",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark as slow what the mark ``quick`` leaves out."""
    tests = {}
    for item in items:
        mark = item.get_closest_marker("quick")
        if mark is not None:
            tests.setdefault((item.parent, item.originalname), (mark, []))[1].append(item)
    for mark, cases in tests.values():
        kept = chosen([case.callspec.params for case in cases], **mark.kwargs)
        for number, case in enumerate(cases):
            if number not in kept:
                case.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture
def update_golden(request):
    return request.config.getoption("--update-golden")


@pytest.fixture
def threads_as_before():
    """Leave the number of threads as it was."""
    from symflux.codegen import threads

    before = threads.threads()
    yield
    threads.set_threads(before)


@pytest.fixture(autouse=True, scope="module")
def no_twin_modules():
    """Loaded as ``codegen``, not ``symflux.codegen``, every class of the package exists twice."""
    yield
    twins = [name for name in sys.modules if name == "codegen" or name.startswith("codegen.")]
    assert not twins, f"imported at top level instead of as symflux.codegen: {twins}"
