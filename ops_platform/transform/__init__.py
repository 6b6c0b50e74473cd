"""In: raw tables. Out: staging, intermediate and mart tables that dbt makes, with their lineage.

May import: settings, errors, lake, ingest.
"""
