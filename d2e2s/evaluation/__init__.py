"""What a model is worth: thresholds, calibration, syntax, groups of sentences, and the results of a run."""
