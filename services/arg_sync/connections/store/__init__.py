"""SQL of connections and of what belongs to one: secrets, customers, code mapping, rate budget."""

FROM_NOW = "clock_timestamp() + make_interval(secs => CAST(:seconds AS float8))"
"""The SQL expression for the moment `:seconds` from now."""
