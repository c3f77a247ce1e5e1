"""Source documents: timesheets and placements, their pricing, realizations and holds."""
