"""Credits by hand: credit notes against closed documents, and write-offs."""
