"""Mail accounts, e-mails with their attempts, and what they carry."""
