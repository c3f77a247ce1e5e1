"""Decides: functions over frozen values; today, rates and numbers come in as arguments."""
