"""What every test shares: the flag that rewrites golden files, the guard against twin modules."""

import os
import sys

import pytest

# Tests compile what they test, and leave the user's cache of compiled code alone. Those of the
# cache itself use folders of their own.
os.environ["SYMFLUX_CACHE_DIR"] = "off"
# In use only what is shown wrong is refused; here every program has to be proven.
os.environ["SYMFLUX_PROVE"] = "all"


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the expected parts of tests/filetests instead of comparing with them",
    )


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


@pytest.fixture(autouse=True)
def no_twin_modules():
    """Loaded as ``codegen``, not ``symflux.codegen``, every class of the package exists twice."""
    yield
    twins = [name for name in sys.modules if name == "codegen" or name.startswith("codegen.")]
    assert not twins, f"imported at top level instead of as symflux.codegen: {twins}"
