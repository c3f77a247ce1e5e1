"""Listens: one screen for each event or command: lock, load, decide, save, say."""
