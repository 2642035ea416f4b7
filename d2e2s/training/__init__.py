"""From records to a trained, scored, saved model."""
