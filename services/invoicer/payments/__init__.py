"""Payments: what accounting systems recorded against invoices."""
