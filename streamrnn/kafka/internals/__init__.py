"""The one room that knows aiokafka's private names: what this package replaces, and what it relies on.

Each function and class says which names it touches and what they must do. tests/kafka/test_internals.py names them
all and needs no broker: with another version of aiokafka that test tells first what has changed. Knows no settings,
no topic and no errors of ours.
"""

CHECKED_WITH = "0.14.0"
"""The version of aiokafka whose source was read for this."""
