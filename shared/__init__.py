"""What the services share: money, dates, events, message processing, rendering, the local stack."""
