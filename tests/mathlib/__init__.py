"""Tests of the mathematical functions written in scalar IR."""
