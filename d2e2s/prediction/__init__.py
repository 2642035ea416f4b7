"""Triplets of raw text: texts, tables, and corpora in shards."""
