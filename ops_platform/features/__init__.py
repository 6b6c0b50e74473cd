"""In: published marts. Out: features as of a day or of each label's time, and the online store.

May import: settings, errors, lake, ingest, transform.
"""
