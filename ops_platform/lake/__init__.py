"""In: tables that other rooms write. Out: snapshots of them, pinned, checked and kept.

May import: settings, errors.
"""
