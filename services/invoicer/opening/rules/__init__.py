"""Decides: functions over frozen values; today, rates and numbers are arguments."""
