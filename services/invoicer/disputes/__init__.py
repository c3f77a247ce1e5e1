"""Disputes: what debtors do not accept of lines of invoices, and how that ended."""
