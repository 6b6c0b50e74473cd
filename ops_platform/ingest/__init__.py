"""In: deliveries of a source and its contract. Out: `raw.<source>`, its quarantine, the ledger.

May import: settings, errors, lake, simulate (the source where none is configured).
"""
