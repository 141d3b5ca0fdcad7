"""Calling: all stages in a row, behind functions that Python calls natively."""
