"""How money is applied to documents and their lines, and which payment is a repeat."""
