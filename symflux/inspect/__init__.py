"""Placeholder until the first functions of this folder land."""
