"""The workers and the console. Every worker is the same four rooms: rules decides, store remembers, handlers listens, app wires."""
