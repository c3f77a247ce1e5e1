"""Debtors: the billto hierarchy, billing companies, debtor terms and time groups."""
