"""The way to Kafka: the topics (declared in one file), and the one producer with which everything is said."""
