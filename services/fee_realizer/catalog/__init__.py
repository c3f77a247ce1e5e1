"""Catalog items: the products and services that a placement's fees name."""
