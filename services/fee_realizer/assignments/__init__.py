"""Assignments: catalog items that nodes are billed for on due dates, once or again and again."""
