"""Where temporaries lie in the arena: those whose lives do not meet share bytes."""

from __future__ import annotations

from bisect import insort
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
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, first, last) in order
    result: dict[int, int] = {}
    order = sorted(range(len(storages)), key=lambda i: (-_bytes(storages[i]), storages[i].first, i))
    for i in order:
        storage = storages[i]
        first, last, size = storage.first, storage.last, _bytes(storage)
        offset = 0
        for start, end, from_, to in placed:
            if from_ <= last and first <= to:
                if offset + size <= start:
                    break
                if end > offset:
                    offset = end
        insort(placed, (offset, offset + size, first, last))
        result[i] = offset
    return [(storage, result[i]) for i, storage in enumerate(storages)]


def _bytes(storage: Storage) -> int:
    size = storage.apart * storage.copies * BYTES[storage.dtype]
    return -(-size // _ALIGNMENT) * _ALIGNMENT
