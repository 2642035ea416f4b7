"""Any text that a review may hold, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

# What the word splitter's rules look at, and what breaks offsets.
SPACES = [" ", "\n", "\n\n", "\x1c", "\u200b", "\u200d", "\u0301"]
MARKS = [".", "..", "-", "--", ":", ",", '"', ")", "’", ">", "<br", "<a href=", "&amp;", "@", "www.", "http://"]
LETTERS = ["n't", "'s", "etc", "can", "a", "A", "9", "食", "😀"]

TEXTS = st.text(st.characters(), max_size=120) | st.lists(st.sampled_from(SPACES + MARKS + LETTERS), max_size=40).map(
    "".join
)
