"""The sample agency: a month of a small staffing firm as event files that a person can open; see
the README beside them.

Owns: the files `NN-topic.jsonl`, in the order in which they are published, and `month`, which
writes them. Does not own: how they are published and what comes of them (the demonstration does
that).
"""
