"""Many runs: which way of training is better, and by how much."""
