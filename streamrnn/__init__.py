"""streamrnn: one living recurrent state per Kafka stream. Owns its version; the rooms below own all else."""

__version__ = "0.1.0"
