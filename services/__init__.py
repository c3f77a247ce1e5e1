"""The four workers and the console.

A worker is a few features, each with the same parts: rules decide, store remembers, handlers react.
"""
