"""One file a retraining policy: the file's name in CamelCase is its class's name."""
