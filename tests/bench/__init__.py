"""Benchmarks as ratios within one run: `python -m tests.bench`.

They run on real Kafka and PostgreSQL with worker processes. Absolute numbers depend on the machine
and its load; the comparison with the fastest bare way to do the same work on the same servers at
the same time does not. Every size is an option; a run with tiny sizes is a test.
"""
