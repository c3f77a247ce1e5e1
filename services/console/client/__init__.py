"""The way from the console to the services: addresses, commands over Kafka, and reads of their views. Owns all SQL of the console.

`addresses` says where Kafka and PostgreSQL are, `wire` publishes and awaits answers, `books` opens a read-only snapshot; the others
read one noun each. Every read is a function of an open connection and gives plain rows (dicts).
"""
