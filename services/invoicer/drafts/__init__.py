"""Drafts: documents that wait for transfer, approval or finalization before they are closed."""
