"""Pay lines: facts that are inserted once, and the location of each."""
