"""Random NumPy programs run in every manner, against plain NumPy and the interpreter of graphs.

    python -m tests.fuzz.campaign 1000           # programs from seed 0 on
    python -m tests.fuzz.campaign 1000 --seed 5  # from seed 5 on
    python -m tests.fuzz.campaign 1 --seed 5     # one: what fails is printed as small as it gets

Most programs are small and run with thresholds lowered at random, so that every decision of
the compiler is made in combination with others; the others have extents on both sides of the
thresholds' real values. Each runs with one thread and with two, which must give the same bits.
"""

import argparse
import math
import random
import sys
import time
import traceback
from collections import Counter
from contextlib import contextmanager

from symflux import config
from symflux.runtime.passes import PASS_NAMES
from symflux.thresholds import TABLE, lowered

from .draws import Generator
from .manners import Wrong, check
from .programs import Text
from .shrink_programs import shrink

MOST = 600_000  # elements of an array


def extents():
    """Extents on both sides of every threshold's real value, read as elements or as bytes of them,
    of vectors and of square matrices, and some others."""
    found = {1, 2, 3, 4, 5, 7, 9, 17, 31, 33, 100, 1000, 5000, 131_073, 300_000}
    for row in TABLE.values():
        for number in row.default if isinstance(row.default, tuple) else (row.default,):
            for size in (int(number), int(number) // 8):
                side = math.isqrt(size) if size > 1000 else 1
                found |= {size - 1, size, size + 1, side, side + 1}
    return tuple(sorted(e for e in found if 0 < e <= MOST))


REAL = extents()
SMALL = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 23, 33, 100)
MANNERS = ("plain",) * 4 + ("donate",) * 3 + ("grad",) * 3
MANNERS += ("out", "vmap", "vgrad", "jvp", "params", "hessian")


class Case:
    """A program, how it is run, and the thresholds and settings meanwhile."""

    def __init__(self, program, manner, limits, seed):
        self.program, self.manner, self.limits, self.seed = program, manner, limits, seed

    @contextmanager
    def ways(self):
        """These thresholds and settings inside a ``with`` block."""
        limits = {n: v for n, v in self.limits.items() if n in TABLE}
        settings = {n: v for n, v in self.limits.items() if n not in TABLE}
        with lowered(**limits), config.override(**settings):
            yield

    def __str__(self):
        return (
            f"seed {self.seed}: {self.manner}, thresholds {self.limits}\n"
            f"arguments {self.program.shapes} {self.program.dtype}\n{self.program.source}"
        )


def some_lowered(r):
    """Lower values of a few of the thresholds, or of many."""
    share = r.choice((0.1, 0.4, 0.8))
    return {n: r.choice(row.low) for n, row in TABLE.items() if r.random() < share}


def some_settings(r):
    """Now and then guarded memory, every pass verified, or the last passes left out."""
    return r.choice([
        *[{}] * 13, {"guard": "end"}, {"guard": "start"}, {"verify": True},
        *[{"stop_after": r.choice(sorted(PASS_NAMES))}] * 3,
    ])  # fmt: skip


def draw(seed, large=None):
    """The case of a seed; ``large`` says at which sizes, by default the seed does."""
    r = random.Random(seed)
    large = r.random() < 0.35 if large is None else large
    manner = r.choice(MANNERS)
    limits = {} if large else some_lowered(r) | some_settings(r)
    sizes, most = (REAL, MOST) if large else (SMALL, 600)
    if large:  # as many decisions are about short axes as about long ones
        longest = r.choice((70, 3000, MOST))
        sizes = [e for e in sizes if longest // 100 <= e <= longest]
    if manner in ("vmap", "vgrad", "hessian"):
        sizes, most = [e for e in sizes if e < 3000] or SMALL, most // 8
    if manner == "hessian":
        sizes, most = [e for e in sizes if e < 20] or SMALL[:11], 60
    smooth = manner in ("grad", "vgrad", "params", "hessian")
    steps = r.randint(1, 3) if manner == "hessian" else None
    program = Generator(seed, sizes, most, not smooth, steps, manner != "params").program()
    return Case(program, manner, limits, seed)


# --- campaigns ------------------------------------------------------------------------------------


def problem(case):
    """What is wrong with a case in words; None if nothing is."""
    try:
        check(case)
    except Wrong as error:
        return f"Wrong: {error}"
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {at.name}: {error}"[:2000]
    return None


def small(case):
    """The smallest case that still goes wrong in the same way."""
    kind = (problem(case) or "").split(":")[0]
    return shrink(case, lambda other: (problem(other) or "").split(":")[0] == kind)


def text_case(shapes, source, manner="plain", dtype="float64", **limits):
    """The case of a program given as text: what once failed."""
    return Case(Text(shapes, source, dtype), manner, limits, 5)


def main(arguments):
    """Run the programs of many seeds; print those that fail, small."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign")
    parser.add_argument("programs", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which it stops")
    parser.add_argument("--large", action="store_true", help="real thresholds only")
    parser.add_argument("--keep", action="store_true", help="do not shrink what fails")
    options = parser.parse_args(arguments)
    end, manners, failed, seed = time.monotonic() + options.seconds, Counter(), 0, options.seed
    config.put("prove", "all")
    for seed in range(options.seed, options.seed + options.programs):
        if time.monotonic() > end:
            break
        case = draw(seed, large=True if options.large else None)
        manners[case.manner] += 1
        if found := problem(case):
            failed += 1
            print(f"--- {found}\n{case if options.keep else small(case)}", flush=True)
    else:
        seed += 1
    print(f"{sum(manners.values())} programs, seeds {options.seed} to {seed - 1}: {failed} failed")
    print(", ".join(f"{name} {number}" for name, number in sorted(manners.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
