"""The four workers and the console.

A worker is a few features, each with as many of three parts as it needs: rules decide, store
remembers, handlers react.
"""
