"""The commands of the command line: their arguments, and what they print.

Owns how options are read and shown. Knows nothing of the work itself, which it imports only when a command runs.
"""
