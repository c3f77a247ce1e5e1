"""SQL of deliveries: queueing, claims, closed documents, held commands, outgoing messages."""
