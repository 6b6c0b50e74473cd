"""One lineage graph from raw deliveries to a served model that keeps itself right."""
