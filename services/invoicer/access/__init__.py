"""People and programs that may send commands: their roles, and the public keys of programs."""
