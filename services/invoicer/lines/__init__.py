"""Pay lines: inserted once and never changed, each in one location."""
