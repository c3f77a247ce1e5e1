"""The adapters of accounting systems: a server that plays a vendor and misbehaves, and the suite
that each adapter must pass.
"""
