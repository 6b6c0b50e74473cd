"""Feature views: each file here defines one `VIEW`; no registration is needed."""
