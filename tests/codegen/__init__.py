"""Tests of the loop IR, its companions and passes."""
