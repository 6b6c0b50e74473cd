"""In: the published days after a champion's as-of. Out: drift by feature, alarms, retrainings.

May import: settings, errors, lake, ingest, transform, features, models, serve.
"""
