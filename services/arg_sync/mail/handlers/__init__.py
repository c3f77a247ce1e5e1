"""Commands about e-mails, and the loop that sends them."""
