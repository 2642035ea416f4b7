"""Repair of dependency trees whose tokens are not the sentence's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2e2s.data_scripts.parse_repair import Parse, align, literal_heads, read_arcs, transfer
from d2e2s.data_scripts.records import is_tree


def test_several_parser_sentences_get_one_numbering() -> None:
    arcs = [["ROOT", 0, 2], ["det", 2, 1], ["ROOT", 0, 1], ["punct", 1, 2]]
    assert read_arcs(["a", "b", "c", "!"], arcs) == Parse(
        ["a", "b", "c", "!"], [2, 0, 0, 3], ["det", "root", "root", "punct"]
    )


@pytest.mark.parametrize(
    ("arcs", "message"),
    [
        ([["ROOT", 0, 1], ["det", 3, 2]], "head 3 of word 2 is out of range 0 to 2"),
        ([["ROOT", 0, 1], ["det", 1, 1]], "not 1 to 2, once each"),
        ([["ROOT", 0, 1]], "1 arcs for 2 parser tokens"),
        ([["det", 2, 1], ["det", 1, 2]], "cycle"),
    ],
)
def test_arcs_that_are_no_tree(arcs: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_arcs(["a", "b"], arcs)


@pytest.mark.parametrize(
    ("tokens", "parser_tokens", "expected"),
    [
        (["a", "b"], ["a", "b"], [0, 1]),
        (["(", "big", ")", "room"], ["big", "room"], [1, 3]),
        (["(", "big", ")"], ["-LRB-", "big", "-RRB-"], [0, 1, 2]),
        (["``", "big", "''"], ["''", "big", "``"], [0, 1, 2]),
        (["I", "dont", "know"], ["I", "do", "nt", "know"], [0, 1, 1, 2]),
        (["top-notch", "food"], ["topnotch", "food"], [0, 1]),
        (["food", ".."], ["food", ".", "."], [0, 1, 1]),
        (["it", "’s"], ["it", "'s"], [0, 1]),
        (["a", "b"], ["a", "xyz", "b"], [0, -1, 1]),
        (["self", "serve"], ["selfserve"], [1]),
    ],
)
def test_alignment(tokens: list[str], parser_tokens: list[str], expected: list[int]) -> None:
    assert align(tokens, parser_tokens) == expected


def test_a_tree_over_the_same_tokens_stays_as_it_is() -> None:
    parse = Parse(["the", "food", "is", "good"], [2, 4, 4, 0], ["det", "nsubj", "cop", "root"])
    assert transfer(parse.tokens, parse) == (parse.heads, parse.deprels, [])


def test_dropped_tokens_hang_on_a_neighbour_and_arcs_keep_their_words() -> None:
    tokens = ["food", "(", "$", "5", ")", "is", "good", "-"]
    parse = Parse(["food", "5", "is", "good"], [4, 1, 4, 0], ["nsubj", "dep", "cop", "root"])
    heads, deprels, attached = transfer(tokens, parse)
    assert heads == [7, 4, 4, 1, 4, 7, 0, 7]
    assert deprels == ["nsubj", "punct", "punct", "dep", "punct", "cop", "root", "punct"]
    assert attached == [1, 2, 4, 7]


def test_a_split_token_takes_the_head_of_its_highest_part() -> None:
    # "do" and "nt" hang on "know", "ca" is the head of "nt" in the second
    parse = Parse(["I", "do", "nt", "know"], [4, 4, 4, 0], ["nsubj", "aux", "advmod", "root"])
    assert transfer(["I", "dont", "know"], parse)[:2] == ([3, 3, 0], ["nsubj", "aux", "root"])
    parse = Parse(["good", ".", "Very"], [3, 1, 0], ["dep", "punct", "root"])
    assert transfer(["good.Very"], parse)[:2] == ([0], ["root"])


def test_a_parser_token_without_place_is_stepped_over() -> None:
    parse = Parse(["a", "xyz", "b"], [2, 3, 0], ["det", "dep", "root"])
    assert transfer(["a", "b"], parse)[:2] == ([2, 0], ["det", "root"])


def test_two_tokens_read_as_one() -> None:
    parse = Parse(["selfserve", "bar"], [2, 0], ["compound", "root"])
    assert transfer(["self", "serve", "bar"], parse)[:2] == ([2, 3, 0], ["dep", "compound", "root"])


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(ValueError, match="shares no token"):
        transfer(["a"], Parse(["b"], [0], ["root"]))


@given(st.data())
def test_any_parse_becomes_a_tree_over_any_tokens(data: st.DataObject) -> None:
    word = st.text("ab-.($", min_size=1, max_size=4)
    tokens = data.draw(st.lists(word, min_size=1, max_size=8))
    parser_tokens = data.draw(st.lists(word, min_size=1, max_size=8))
    order = data.draw(st.permutations(range(1, len(parser_tokens) + 1)))
    heads = [0] * len(parser_tokens)
    for place, number in enumerate(order):  # every word hangs on an earlier one of a random order, or on the root
        heads[number - 1] = data.draw(st.sampled_from([0, *order[:place]]))
    try:
        tree = transfer(tokens, Parse(parser_tokens, heads, ["x"] * len(parser_tokens)))
    except ValueError:
        assert set("".join(tokens)).isdisjoint("".join(parser_tokens))
        return
    assert len(tree.heads) == len(tree.deprels) == len(tokens)
    assert is_tree(tree.heads)


def test_literal_heads_clip_and_count() -> None:
    arcs = [["ROOT", 0, 1], ["dep", 4, 2], ["ROOT", 0, 1], ["punct", 1, 4]]
    heads, deprels, unfit = literal_heads(3, arcs)
    assert heads == [0, 0, 0]
    assert deprels == ["root", "root", "root"]
    assert unfit == 4  # head 4, the second arc of word 1, word 4, and word 3 without an arc
