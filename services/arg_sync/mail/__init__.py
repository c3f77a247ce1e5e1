"""Documents by e-mail: each once for each address of its debtor."""
