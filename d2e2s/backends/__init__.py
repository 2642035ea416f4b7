"""What computes the encoder in place of torch."""
