"""What the README claims about speed and about runs that are killed, runnable.

Walks in: real order files, or simulated ones. Walks out: figures, and exit code 1 when a claim
does not hold. May import everything; nothing imports it but tests.
"""
