"""What people say about what: triplets of many reviews, counted and shown on one page."""
