"""Self-billing agreements: a billing company issues the invoices of a supplier to itself."""
