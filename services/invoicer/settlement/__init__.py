"""Settlement: turns a realization of a source document into pay lines."""
