"""Loops over the bytes of values and headers, compiled, without an object a tick. Knows no model and no record."""
