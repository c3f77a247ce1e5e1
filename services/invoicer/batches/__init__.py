"""Batches: which open lines go on which document, and what prevents it.

Owns: batches, previews, parked debtors, the selection of lines and the health check.
Does not own: numbers and closed documents (`invoices`), debtors and their terms (`debtors`).
"""
