"""`streamrnn bench`: the service beside two yardsticks on one broker, and the engine's step alone."""
