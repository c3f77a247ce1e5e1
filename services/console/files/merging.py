"""Joins the PDFs of a batch for a printer: one file, or several of a fixed number of documents.

A PDF is kept in memory as a whole, so its number of documents is limited: then memory does not grow
with the batch. The same documents give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path

import pikepdf

DOCUMENTS_AT_MOST = 500
"""Documents in one file; takes some 80 MB of memory."""


def merge_all(folder: Path, names: Sequence[str], path: Path) -> list[Path]:
    """Join the files in their order into `path`, or into path-1, path-2, ...; return the paths."""
    starts = range(0, len(names), DOCUMENTS_AT_MOST)
    targets = (
        [path]
        if len(starts) <= 1
        else [path.with_stem(f"{path.stem}-{part}") for part in range(1, len(starts) + 1)]
    )
    drafts = [folder / f"merged-{start}.part" for start in starts]
    for draft, start in zip(drafts, starts, strict=True):
        with pikepdf.new() as merged:
            for name in names[start : start + DOCUMENTS_AT_MOST]:
                with pikepdf.open(folder / name) as document:
                    merged.pages.extend(document.pages)
            merged.save(
                draft,
                deterministic_id=True,
                object_stream_mode=pikepdf.ObjectStreamMode.generate,
            )
    for draft, target in zip(drafts, targets, strict=True):
        draft.replace(target)
    return targets
