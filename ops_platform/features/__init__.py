"""In: published marts. Out: feature tables as of a day, checked, each row with its snapshot.

May import: settings, errors, lake, ingest, transform.
"""
