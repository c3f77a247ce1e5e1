"""Kafka: the topics, declared in one file, and the one producer that publishes all messages."""
