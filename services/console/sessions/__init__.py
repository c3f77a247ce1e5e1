"""sessions: who is signed in to the web console.

Owns: the schema `console` with its login `console_session`: passwords of local users (argon2),
one-time sign-in links, sessions, the record of every sign-in and refusal, and sign-in at an OpenID
provider (`openid`). Does not own: people and their roles, which the invoicer has. `rules` has
limits and hashes, `store` the tables.
"""
