"""Graphs: text, verifier, interpreter, passes."""
