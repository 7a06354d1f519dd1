"""Kafka in our words: the group's member, the logs it reads, the records it writes. Knows no model and no state."""
