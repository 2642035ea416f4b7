"""Models behind an address: what an endpoint needs."""
