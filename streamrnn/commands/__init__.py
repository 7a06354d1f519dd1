"""The commands of the command line: their arguments, and what they print. Owns no work of its own."""
