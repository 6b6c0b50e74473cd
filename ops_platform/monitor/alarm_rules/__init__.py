"""One file an alarm rule: the file's name in CamelCase is its class's name."""
