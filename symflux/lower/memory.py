"""Where temporaries lie in the arena: those whose lives do not meet share bytes."""

from __future__ import annotations

from collections.abc import Sequence

from ..codegen.ir import BYTES
from .plan import Storage

__all__ = ["assign_offsets"]

_ALIGNMENT = 64


def assign_offsets(storages: Sequence[Storage]) -> list[tuple[Storage, int]]:
    """Byte offsets (multiples of 64) for each storage: first fit, largest first.

    Greedy by size is the strategy that Pisarchyk and Lee (2020, "Efficient memory management for
    deep neural net inference") found best among the simple ones.
    """
    placed: list[tuple[Storage, int, int]] = []
    result: dict[int, int] = {}
    order = sorted(range(len(storages)), key=lambda i: (-_bytes(storages[i]), storages[i].first, i))
    for i in order:
        storage = storages[i]
        size = _bytes(storage)
        busy = sorted(
            (offset, offset + length)
            for other, offset, length in placed
            if storage.first <= other.last and other.first <= storage.last
        )
        offset = 0
        for start, end in busy:
            if offset + size <= start:
                break
            offset = max(offset, end)
        placed.append((storage, offset, size))
        result[i] = offset
    return [(storage, result[i]) for i, storage in enumerate(storages)]


def _bytes(storage: Storage) -> int:
    size = storage.apart * storage.copies * BYTES[storage.dtype]
    return -(-size // _ALIGNMENT) * _ALIGNMENT
