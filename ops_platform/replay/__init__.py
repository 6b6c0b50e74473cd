"""In: the published history. Out: what each retraining policy would have cost and earned on it.

May import: settings, errors, lake, ingest, transform, features, models, serve, monitor.
"""
