"""`streamrnn bench`: the service beside two yardsticks on one broker, and the engine's step alone.

Owns the yardsticks, the rounds and the tables of what was measured. Owns no part of what it measures.
"""
