"""Every message, in flow order: read `ats`, `statements`, `commands`, `billing` top to bottom and you have read the process.

`wire` holds the strict types (decimals as strings, ISO dates), `catalogue` says which model travels on which topic.
Owns the shape of what crosses a topic; does not own what it means (that is each service's `rules`).
"""
