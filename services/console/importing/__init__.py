"""The import: a folder of CSV files becomes what the ATS would have said.

Owns: the columns of the files and what stands wrong in them, by file, line and column; which documents are new, changed or
unchanged against the books; their next revisions.
Does not own: the reading of the books (`console.client`), the terminal (`console.cli`), what a document is worth.

Invariants:
- One wrong cell and nothing at all is published; everything that is wrong is counted, not only the first.
- A document whose values equal those in the books is never published again; one that differs is the next revision of its id.
- What vanished from a file is left as it is: only the ATS, or a file that still names the document, can say that it changed.
"""
