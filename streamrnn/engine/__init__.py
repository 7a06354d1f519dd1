"""The streams' states and how a batch of ticks moves them. Knows no Kafka, no bytes of records and no store."""
