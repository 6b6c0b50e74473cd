"""In: a champion and the periods after it. Out: drift by feature, alarms, and retrainings.

May import: settings, errors, lake, ingest, transform, features, models, serve.
"""
