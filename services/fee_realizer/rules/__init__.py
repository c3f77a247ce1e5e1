"""What a document is worth, decided over frozen values: which sheet counts, what it still lacks, which rate, which lines."""
