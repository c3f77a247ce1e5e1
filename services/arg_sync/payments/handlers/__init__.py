"""Payments at work: the polling loop, and the webhooks that request a poll."""
