"""Running loop programs on made-up arguments, and comparing what two ways of running them wrote."""

import numpy as np
from symflux.codegen.interp import run
from symflux.codegen.ir import Role
from symflux.codegen.scalars import numpy_dtype

DEFAULT_SIZE = 7


def make_arguments(program, seed=0):
    """(arrays, sizes): small numbers of every sign, the same for the same program text and seed."""
    rng = np.random.default_rng(seed)
    sizes = [DEFAULT_SIZE] * len(program.sizes)
    known = dict(zip(program.sizes, sizes, strict=True))
    arrays = {}
    for buffer in program.arguments():
        size = buffer.size if isinstance(buffer.size, int) else known[buffer.size]
        dtype = numpy_dtype(buffer.dtype)
        if buffer.role is Role.OUTPUT:
            arrays[buffer.name] = np.zeros(size, dtype)
        elif buffer.dtype == "bool":
            arrays[buffer.name] = rng.integers(0, 2, size).astype(dtype)
        elif buffer.dtype[0] == "f":
            arrays[buffer.name] = (rng.integers(-40, 41, size) / 8).astype(dtype)
        else:
            low = 0 if buffer.dtype[0] == "u" else -10
            arrays[buffer.name] = rng.integers(low, 11, size).astype(dtype)
    return arrays, sizes


def interpreted(program, seed=0):
    """The arrays after the interpreter ran the program on ``make_arguments``; programs made at
    random need not write their outputs whole."""
    arrays, sizes = make_arguments(program, seed)
    run(program, arrays, sizes, partial=True)
    return arrays


def differences(wanted, got):
    """Buffers whose bits differ (any nan equals any nan), with the first element that does."""
    found = []
    for name, array in wanted.items():
        same = (array == got[name]) | ((array != array) & (got[name] != got[name]))
        if array.dtype.kind == "f":
            same &= (np.signbit(array) == np.signbit(got[name])) | (array != array)
        if not same.all():
            at = int(np.argmin(same))
            found.append(f"{name}[{at}]: {array[at]!r} became {got[name][at]!r}")
    return found
