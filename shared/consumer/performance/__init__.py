"""Techniques that make a worker faster and look odd without their reason.

Each module states what was measured; `make bench ARGS=ingest` and `make bench ARGS=latency` repeat
it. No module here decides what is correct: without them, the same records have the same effects.
"""
