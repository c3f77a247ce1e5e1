"""Wires arg_sync."""
