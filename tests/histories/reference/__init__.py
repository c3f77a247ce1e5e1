"""The slow reference: the value of every document, line key and invoice, in plain Python.

It is written from the domain rules and imports nothing of the services or of what they share: it
rounds, splits, names keys and counts numbers by itself. It handles one document at a time, keeps
everything in lists, and is as simple as possible; where it and the services differ, one of them is
wrong. `pricing` values documents, `ledger` settles that against what was billed, `billing` closes
batches.
"""
