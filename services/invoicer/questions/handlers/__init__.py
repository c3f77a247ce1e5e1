"""Handles events and commands: lock, load, decide, save, publish."""
