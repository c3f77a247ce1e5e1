"""Approval of drafts: approve, reject, reassign."""
