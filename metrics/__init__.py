"""Metrics of the package; each folder is an `evaluate` module that also works alone."""
