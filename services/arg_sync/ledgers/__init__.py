"""The accounting systems: the port, the wire that all of them use, and one file a system. The only outgoing HTTP of the project."""
