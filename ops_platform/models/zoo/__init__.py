"""One file a model: the file's name in CamelCase is its estimator's name."""
