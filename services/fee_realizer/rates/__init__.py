"""Rate commands: set a bill rate, show the impact on invoiced lines, confirm it for them."""
