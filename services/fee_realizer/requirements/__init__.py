"""Requirements: their statuses, their bill rates, and the rate book that counts rate changes."""
