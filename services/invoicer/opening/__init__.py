"""Opening data: what another system billed before, as closed documents of a series of its own."""
