"""The formats of values: one file each, behind the protocols of format.py, found by name in known.py.

A format reads ticks; one whose values are objects also splits lists, names fields, and writes predictions and
ticks. Knows no record, no key and no header. The next formats are further files and one line each in known.py.
"""
