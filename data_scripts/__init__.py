"""From raw data to the canonical record; see :mod:`records` for what a record is."""
