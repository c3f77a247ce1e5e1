"""What fee_realizer hears: events of the ATS, commands, and the documents whose facts changed."""
