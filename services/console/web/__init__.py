"""The web console: the screens of a finance team, in a browser.

Owns: pages, their addresses and templates, sign-in and the checks of each request. Does not own:
SQL (`queries`), commands (`actions`), columns of tables (`columns`), sessions (`sessions`), or any
rule: who may do what is decided by the service that carries a command out, and a page only leaves
out what would be refused.

Layout: `app` puts it together; `pages` has what a screen gets and gives; each screen is a module
with a `router` and, if the navigation names it, a `SCREEN`, and has its templates in a folder of
the same name.

Invariants:
- No page works without a session, but sign-in; no form without the session's token.
- No script, style or picture comes from elsewhere, and none is inline.
- Text of others is text: escaped by the templates, control characters shown as escapes.
"""
