"""How fast it is, as ratios inside one run: `python -m tests.bench` on real Kafka and PostgreSQL, with worker processes of their own.

Absolute numbers belong to the machine and to what else it did that day; what lasts is how a worker compares with the quickest bare way
to do the same work on the same servers, in the same minutes. Every size is an option; a run with tiny sizes is a test.
"""
