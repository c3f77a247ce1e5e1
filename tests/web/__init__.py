"""Tests of the web console in a real browser, on one real stack for all of them."""
