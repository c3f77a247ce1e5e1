"""Billing companies: their settings and tax rates."""
