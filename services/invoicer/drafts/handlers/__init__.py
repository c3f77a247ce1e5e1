"""The commands about drafts."""
