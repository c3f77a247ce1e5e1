"""The tests: rules (pure), stores and handlers (real PostgreSQL), system (real Kafka, processes
killed), contracts, bench.
"""
