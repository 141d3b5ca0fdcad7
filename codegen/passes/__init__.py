"""Passes over the loop IR: each a function from Program to Program, all in one list."""

from .pipeline import PASSES, Observer, Pass, Pipeline, Step, print_changes, run_passes

__all__ = ["PASSES", "Observer", "Pass", "Pipeline", "Step", "print_changes", "run_passes"]
