"""The vendors as the fault server plays them: what their APIs answer, in memory.

One file beside this one is one vendor.
"""
