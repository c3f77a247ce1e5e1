"""What the console does: it builds commands, publishes records, and waits for the results of
commands.
"""
