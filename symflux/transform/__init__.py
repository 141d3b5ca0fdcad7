"""Transforms: derivatives and batching, from graphs to graphs."""
