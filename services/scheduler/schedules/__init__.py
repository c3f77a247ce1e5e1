"""Schedules: the calendars by which invoices are made, and their runs."""
