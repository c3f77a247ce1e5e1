"""Adapters of the accounting systems, one file each, and the HTTP client that all of them use.

This is the only outgoing HTTP of the project.
"""
