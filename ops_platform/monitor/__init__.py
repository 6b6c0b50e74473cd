"""In: the published days after a champion's as-of. Out: drift by feature and day, and alarms.

May import: settings, errors, lake, ingest, transform, features, models, serve.
"""
