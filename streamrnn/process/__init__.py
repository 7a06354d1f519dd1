"""How the process runs, ends and speaks: interpreter, signals, children, log lines, text for a terminal.

Knows no stream.
"""
