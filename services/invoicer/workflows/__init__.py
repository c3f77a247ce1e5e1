"""Approval workflows: their steps and versions, and the routing of a draft through them."""
