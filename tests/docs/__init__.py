"""Tests of the documentation: its examples are run, its links and limits are checked."""
