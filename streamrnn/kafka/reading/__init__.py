"""What is read from Kafka: batches of bytes to records, a member's partitions, whole logs. Writes nothing."""
