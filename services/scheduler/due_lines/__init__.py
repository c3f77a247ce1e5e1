"""Due lines: announce Scheduled lines when their effective date begins."""
