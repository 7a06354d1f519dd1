"""streamrnn: one living recurrent state per Kafka stream."""

__version__ = "0.1.0"
