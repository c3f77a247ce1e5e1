"""Invoice options: where the items of engagements go, and how they are grouped."""
