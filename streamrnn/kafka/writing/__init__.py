"""What is written to Kafka: records under way, the intervals they belong to, both guarantees. Reads no topic."""
