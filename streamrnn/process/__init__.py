"""How the process runs and speaks: interpreter, signals, log lines, text for a terminal. Knows no stream."""
