"""In walk interactions up to an as-of; out walk fitted models, verdicts and registered versions.

May import: settings, errors, lake, ingest, transform, features.
"""
