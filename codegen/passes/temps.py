"""Drop temps that nothing reads, with the stores to them and what only those stores needed.

Forwarding stores to loads (``simplify``) is what makes a temp unread. Unused CONST tables and
kernels left empty go too, and the arena ends where its last temp does.
"""

from __future__ import annotations

from ...records import replace
from ..ir import (
    BYTES,
    Block,
    Buffer,
    Contract,
    If,
    Load,
    Loop,
    Program,
    Role,
    Store,
    Var,
    While,
    walk,
)
from .dead import remove_dead

__all__ = ["drop_temps"]


def drop_temps(program: Program) -> Program:
    """The program without unread temps; the same object when there are none."""
    kernels = program.kernels
    while True:
        read, written = _uses([k.body for k in kernels])
        unread = {b for b in written if b.role is Role.TEMP} - read
        if not unread:
            break
        bodies = [remove_dead(_without_stores(k.body, unread)) for k in kernels]
        kernels = tuple(
            [k if body is k.body else replace(k, body=body)
             for k, body in zip(kernels, bodies, strict=True)]
        )  # fmt: skip
    used = read | written
    droppable = (Role.TEMP, Role.CONST)
    buffers = tuple([b for b in program.buffers if b.role not in droppable or b in used])
    full = tuple([k for k in kernels if k.body.statements])
    if len(buffers) == len(program.buffers) and len(full) == len(program.kernels):
        return program
    arena = min(program.arena, max([_end(b) for b in buffers if b.role is Role.TEMP], default=0))
    return replace(program, buffers=buffers, kernels=full, arena=arena)


def _end(temp: Buffer) -> int:
    assert not isinstance(temp.size, Var)
    return (temp.offset or 0) + temp.size * BYTES[temp.dtype]


def _uses(bodies: list[Block]) -> tuple[set[Buffer], set[Buffer]]:
    """The buffers that are read, and those that are written."""
    read: set[Buffer] = set()
    written: set[Buffer] = set()
    for body in bodies:
        for statement in walk(body):
            match statement:
                case Load():
                    read.add(statement.buffer)
                case Store():
                    written.add(statement.buffer)
                case Contract():
                    read.update((statement.a, statement.b))
    return read, written


def _without_stores(block: Block, buffers: set[Buffer]) -> Block:
    """The block without its stores to ``buffers``; the same object when it has none."""
    kept = []
    changed = False
    for statement in block.statements:
        if isinstance(statement, Store) and statement.buffer in buffers:
            changed = True
            continue
        new = statement
        match statement:
            case Loop():
                body = _without_stores(statement.body, buffers)
                if body is not statement.body:
                    new = replace(statement, body=body)
            case If():
                then = _without_stores(statement.then, buffers)
                otherwise = _without_stores(statement.otherwise, buffers)
                if then is not statement.then or otherwise is not statement.otherwise:
                    new = replace(statement, then=then, otherwise=otherwise)
            case While():
                condition = _without_stores(statement.condition, buffers)
                body = _without_stores(statement.body, buffers)
                if condition is not statement.condition or body is not statement.body:
                    new = replace(statement, condition=condition, body=body)
            case Contract():
                epilogue = _without_stores(statement.epilogue, buffers)
                if epilogue is not statement.epilogue:
                    new = replace(statement, epilogue=epilogue)
        changed = changed or new is not statement
        kept.append(new)
    return Block(tuple(kept), block.yields) if changed else block
