"""What is stored of drafts."""
