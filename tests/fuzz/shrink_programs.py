"""Making a failing NumPy program small: fewer steps, results, iterations and lowered thresholds."""

import copy

from .programs import Line, Region


def shrink(case, fails):
    """The smallest case found for which ``fails`` holds."""
    while True:
        smaller = next(filter(fails, _smaller(case)), None)
        if smaller is None:
            return case
        case = smaller


def _smaller(case):
    """Cases a little smaller than this one, the boldest first."""
    names = list(case.limits)
    for half in (names[: len(names) // 2], names[len(names) // 2 :], *[[n] for n in names]):
        if half:
            other = copy.copy(case)
            other.limits = {n: v for n, v in case.limits.items() if n not in half}
            yield other
    for change in _changes(case.program.block):
        other = copy.copy(case)
        other.program = copy.deepcopy(case.program)
        if _apply(other.program.block, change):
            _drop_unused(other.program)
            yield other


def _changes(block, path=()):
    """Changes of a block and those inside: (path of regions, what, where)."""
    for n in range(len(block.results)):
        if path == () and len(block.results) > 1:
            yield path, "result", n
    for n in reversed(range(len(block.steps))):
        step = block.steps[n]
        yield path, "step", n
        if isinstance(step, Region):
            if step.kind in ("fori", "scan", "while") and not step.element and step.extra != 1:
                yield path, "trips", n
            for number in range(len(step.bodies)):
                yield path, "inline", (n, number)
            if step.also:
                yield path, "also", n
            if step.low:
                yield path, "low", n
            if step.kind == "switch" and len(step.bodies) > 1:
                yield path, "bodies", n
            for number, body in enumerate(step.bodies):
                yield from _changes(body, (*path, (n, number)))
    for n, name in enumerate(block.results):
        if path and n < len(block.params) and name != block.params[n]:
            yield path, "keep", n
    for n in range(len(block.stacked)):
        yield path, "stacked", n


def _apply(block, change):
    path, what, n = change
    owner, program_block = None, block
    for at, number in path:
        owner = block.steps[at]
        block = owner.bodies[number]
    if what == "result":
        del block.results[n]
    elif what == "keep":
        block.results[n] = block.params[n]
    elif what == "trips":
        step = block.steps[n]
        counted = isinstance(step.extra, int) and step.extra > 1
        step.extra, step.reads = step.extra - 1 if counted else 1, []
    elif what == "inline":
        made = _inline(block, *n)
        block.results += made if not path else []  # each may be what is needed
    elif what == "low":
        block.steps[n].low = 0
    elif what == "also":
        block.steps[n].also = ""
    elif what == "bodies":
        block.steps[n].bodies.pop()
    elif what == "stacked":
        if len(path) > 1:
            return False
        target = owner.targets[len(owner.names) + n]
        program_block.results = [x for x in program_block.results if x != target]
        del block.stacked[n]
        owner.targets.remove(target)
        return bool(program_block.results) and target not in _used(program_block, set())
    else:
        return _remove(block, n)
    return True


def _inline(block, n, number):
    """Put the steps of one of a region's bodies in its place: they run once, and always. Returns
    the values that they make."""
    step = block.steps[n]
    body = step.bodies[number]
    given = {f"i_{step.targets[0]}": "0", step.element: (step.reads or [""])[0]}
    _rename(body, given | dict(zip(body.params, step.names, strict=True)))
    block.steps[n : n + 1] = body.steps
    _rename(block, dict(zip(step.targets, [*body.results, *body.stacked], strict=True)))
    return [name for inner in body.steps for name in inner.targets]


def _remove(block, n):
    """Replace a step's values by its operands; what has no such operand stays."""
    step = block.steps[n]
    if isinstance(step, Line):
        if not step.names:
            return False
        replacement = {step.targets[0]: step.names[0]}
    else:
        replacement = dict(zip(step.targets, step.names, strict=False))
        if len(step.targets) > len(step.names):
            for extra in step.targets[len(step.names) :]:
                replacement[extra] = step.names[0]
    del block.steps[n]
    _rename(block, replacement)
    return True


def _rename(block, names):
    block.results = [names.get(x, x) for x in block.results]
    block.stacked = [names.get(x, x) for x in block.stacked]
    for step in block.steps:
        step.names = [names.get(x, x) for x in step.names]
        for body in step.blocks():
            _rename(body, names)
        step.reads = [names.get(x, x) for x in step.reads]


def _used(block, found):
    found.update(block.results, block.stacked)
    for step in block.steps:
        found.update(step.names, step.reads)
        for body in step.blocks():
            _used(body, found)
    return found


def _drop_unused(program):
    while True:
        used = _used(program.block, set())
        if not _drop(program.block, used):
            return


def _drop(block, used):
    dropped = False
    for step in list(block.steps):
        if not used.intersection(step.targets):
            block.steps.remove(step)
            dropped = True
        else:
            for body in step.blocks():
                dropped |= _drop(body, used)
    return dropped
