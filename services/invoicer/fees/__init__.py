"""MSP fees of invoice options: markups, discounts, and the volume tiers of their percentages."""
