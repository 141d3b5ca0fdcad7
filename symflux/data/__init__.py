"""Data sets as tuples of arrays: splitting, encoding, batches."""

from .minibatches import minibatches, one_hot, split

__all__ = ["minibatches", "one_hot", "split"]
