"""The slow reference: what every document, line key and invoice should be worth, in plain Python written from the rules of the field.

It imports nothing of the services and nothing of what they share: it rounds, splits, names keys and counts numbers by itself. It knows one
document at a time, keeps everything in lists, and is as plain as it can be made; where it and the services differ, one of them is wrong.
`pricing` says what documents are worth, `ledger` settles that against what was billed, `billing` closes batches.
"""
