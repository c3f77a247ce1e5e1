"""Stores and loads: set-based SQL without decisions."""
