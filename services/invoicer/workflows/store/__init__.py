"""What is stored of workflows, and of the routing of drafts through them."""
