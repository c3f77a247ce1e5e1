"""Reads CSV files that operators import: a folder of ATS data, terms of debtors, billing cycles,
mappings.

Owns: the columns of the files and what is wrong in them, by file, line and column; which documents
of a folder are new, changed or unchanged compared with the database; their next revisions. Does not
own: reading the database (`console.queries`), the terminal (`console.cli`), the value of a
document.

Invariants:
- If one cell is wrong, nothing at all is published; everything that is wrong is counted, not only
  the first.
- A document whose values equal the stored ones is never published again; one that differs is the
  next revision of its id.
- A document that is missing from a file is left unchanged.
"""
