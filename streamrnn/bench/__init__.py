"""`streamrnn bench`: the service beside two yardsticks on one broker, and the engine's step alone."""

from streamrnn.bench.command import add_arguments, run_bench

__all__ = ["add_arguments", "run_bench"]
