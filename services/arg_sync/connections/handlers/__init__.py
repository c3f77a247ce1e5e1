"""Commands about connections, open adapters, and the loops that work on connections."""
