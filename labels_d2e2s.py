"""Names and numbers of labels that every part of the project shares."""

# Sentiments of the benchmarks, and of a configuration that names none.
SENTIMENTS = ("POS", "NEG", "NEU")
# Fills up rows of triplets and labels: nothing stands there.
IGNORED = -100
# Label rows of a sentence whose triplets are not known.
UNKNOWN = -1
