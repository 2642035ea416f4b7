"""From words, parses and raw text to the model's inputs, and from its triplets back to words.

Everything that depends on the tokenizer is here: word pieces, the map from pieces to nodes, labels, padding, windows,
and the reading of decoded triplets. How raw text becomes words and sentences stands in `words_d2e2s.py`.

A *node* is the root (0, the leading special token such as [CLS]) or a word (word i is node i + 1).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers.pre_tokenizers import PreTokenizer
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from .collator_d2e2s import DataCollatorForTripletExtraction as DataCollatorForTripletExtraction  # so it travels
from .errors_d2e2s import UserError
from .inputs_d2e2s import D2E2SInputs, mask, padded, padded_labels
from .labels_d2e2s import SENTIMENTS
from .tokenizer_d2e2s import for_words
from .words_d2e2s import (
    SPLITTER_VERSION,
    WINDOW_WORDS,
    Word,
    WordSplitter,
    checked_window,
    halve_long,
    pack_words,
    split_sentences,
    without_surrogates,
)

DEFAULT_WINDOW = 512


class D2E2SProcessor(ProcessorMixin):
    """Prepares words for the model with any fast tokenizer, and reads the model's triplets.

    Args:
        tokenizer: fast tokenizer that puts a special token first. One that needs a space before each word
            (byte-level BPE, as RoBERTa's) is copied and set so.
        deprel_labels: dependency relations the model knows, `config.deprel_labels`.
        sentiment_labels: sentiments in the model's order, `config.sentiment_labels`.
        word_splitter: how raw text becomes words, see `WordSplitter`.
        max_length: most word pieces of a sentence, special tokens included. By default the tokenizer's
            `model_max_length`, or 512 if it names none (DeBERTa-v3).
        splitter_version: version of the word splitter's rules.
        window_words: raw text of more than twice as many words without an end of a sentence, longer than what training
            has seen, is read in windows of at most so many. None or 0: of as many as fit the encoder. A checkpoint
            that names neither this nor the version is from before both, and splits as it did.

    Raises:
        UserError: slow tokenizer, no leading special token, unknown word splitter, or windows of no word.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        deprel_labels: Sequence[str] | None = None,
        sentiment_labels: Sequence[str] = SENTIMENTS,
        word_splitter: str | dict[str, Any] | PreTokenizer = "penn",
        max_length: int | None = None,
        splitter_version: int = SPLITTER_VERSION,
        window_words: int | None = WINDOW_WORDS,
    ) -> None:
        super().__init__(for_words(tokenizer))
        self.deprel_labels = list(deprel_labels or ())
        self.sentiment_labels = list(sentiment_labels)
        self.max_length = max_length
        self.split_words = WordSplitter(word_splitter, splitter_version)
        self.splitter_version = splitter_version
        self.window_words = checked_window(window_words)
        self.word_splitter = self.split_words.config
        self._special_tokens = self.tokenizer.num_special_tokens_to_add()

    @classmethod
    def from_args_and_dict(cls, args: Any, processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        before = {"splitter_version": 1, "window_words": None} if "word_splitter" in processor_dict else {}
        return super().from_args_and_dict(args, {**before, **processor_dict}, **kwargs)

    @property
    def splitting(self) -> tuple[Any, ...]:
        """All that decides which words and sentences a raw text becomes: checkpoints that share it split alike."""
        return self.word_splitter, self.splitter_version, self.window_words, self.window

    @property
    def model_input_names(self) -> list[str]:
        return [*self.tokenizer.model_input_names, "word_index", "word_mask", "heads", "deprels"]

    @property
    def window(self) -> int:
        """Most word pieces of a sentence, special tokens included."""
        limit = min(self.max_length or self.tokenizer.model_max_length, self.tokenizer.model_max_length)
        # Tokenizers that know no limit carry a huge number.
        return int(limit) if limit < 1_000_000 else DEFAULT_WINDOW

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_dict().items() if name != "split_words"}

    def __call__(
        self,
        words: Sequence[Sequence[str]],
        heads: Sequence[Sequence[int] | None] | None = None,
        deprels: Sequence[Sequence[str] | None] | None = None,
        triplets: Sequence[Sequence[Mapping[str, Any]] | None] | None = None,
        return_tensors: str = "pt",
        max_length: int | None = None,
    ) -> D2E2SInputs:
        """Make the model's inputs for a batch of sentences (see `D2E2SInputs` for keys and shapes).

        Args:
            words: the words of each sentence.
            heads: for each sentence the 1-based head of each word, 0 for the root, -1 if not known; or None.
            deprels: for each sentence the relation of each word to its head; or None. A relation that
                `deprel_labels` does not list is read as its universal one (`nmod:poss` as `nmod`), and counts as not
                known if that is not listed either.
            triplets: for each sentence `{"aspect": [start, end], "opinion": [start, end], "sentiment": str}`
                in word indices, half open.
            return_tensors: only "pt".
            max_length: replaces the processor's `window` for this call.

        Raises:
            UserError: for anything malformed, with the index of the sentence.
        """
        if return_tensors != "pt":
            raise UserError(f'return_tensors={return_tensors!r}: only "pt" is supported')
        return self.pad(self.encode(words, heads, deprels, triplets, max_length), words=words)

    def encode(
        self,
        words: Sequence[Sequence[str]],
        heads: Sequence[Sequence[int] | None] | None = None,
        deprels: Sequence[Sequence[str] | None] | None = None,
        triplets: Sequence[Sequence[Mapping[str, Any]] | None] | None = None,
        max_length: int | None = None,
    ) -> list[dict[str, Any]]:
        """Unpadded features of each sentence as lists, for `pad`. Arguments and errors as for `__call__`.

        `heads` and `deprels` are always there, -1 where not known, so that every feature has the same
        columns; `labels` is None for a sentence without `triplets`.
        """
        features = self._encode_words(words)
        window = max_length or self.window
        heads = _for_each(heads, words, "heads")
        deprels = _for_each(deprels, words, "deprels")
        triplets = _for_each(triplets, words, "triplets")
        for i, (feature, sentence) in enumerate(zip(features, words, strict=True)):
            _check_length(len(feature["input_ids"]), window, sentence, i)
            feature["heads"] = _checked_heads(heads[i], sentence, i)
            feature["deprels"] = self._deprel_ids(deprels[i], sentence, i)
            feature["labels"] = self._labels(triplets[i], sentence, i)
        return features

    def encode_record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Features of one record (`tokens`, and `heads`, `deprels`, `triplets` if it has them), as lists."""
        return self.encode_records([record])[0]

    def encode_records(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Features of several records, with one call of the tokenizer."""
        fields = ("heads", "deprels", "triplets")
        heads, deprels, triplets = ([record.get(field) for record in records] for field in fields)
        return self.encode([record["tokens"] for record in records], heads, deprels, triplets)

    def tokenize_records(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """`encode` for `dataset.map(processor.tokenize_records, batched=True)`: columns in, columns out."""
        features = self.encode(batch["tokens"], batch.get("heads"), batch.get("deprels"), batch.get("triplets"))
        return {name: [feature[name] for feature in features] for name in features[0]}

    def pad(
        self,
        features: Sequence[Mapping[str, Any]],
        words: Sequence[Sequence[str]] | None = None,
        pad_to_multiple_of: int | None = None,
        allow_unlabelled: bool = False,
    ) -> D2E2SInputs:
        """Pad what `encode` gave to one batch of tensors; T is rounded up to `pad_to_multiple_of`.

        Args:
            allow_unlabelled: sentences without labels are fit to train on: their triplets are not known, their
                rows of `labels` are -1.

        Raises:
            UserError: no features, or labels for some sentences only (a sentence whose triplets are not
                known must not be learned as one that has none), unless `allow_unlabelled`.
        """
        if not features:
            raise UserError("no sentences: give at least one")
        columns: dict[str, list[Any]] = {name: [row.get(name) for row in features] for name in features[0]}
        multiple = pad_to_multiple_of or 1
        pieces = -(-max(map(len, columns["input_ids"])) // multiple) * multiple
        lengths = [max(row) for row in columns["word_index"]]
        data = {
            "input_ids": padded(columns["input_ids"], self.tokenizer.pad_token_id or 0, pieces),
            "attention_mask": mask([len(row) for row in columns["input_ids"]], pieces).long(),
            "word_index": padded(columns["word_index"], -1, pieces),
            "word_mask": mask(lengths, max(lengths)),
        }
        if "token_type_ids" in columns:
            padding = self.tokenizer.pad_token_type_id
            data["token_type_ids"] = padded(columns["token_type_ids"], padding, pieces)
        for name in ("heads", "deprels"):
            rows = [row or [] for row in columns.get(name, ())]
            if any(max(row, default=-1) >= 0 for row in rows):
                data[name] = padded(rows, -1, max(lengths))
        labels = columns.get("labels", [None] * len(features))
        if allow_unlabelled or any(rows is not None for rows in labels):
            data["labels"] = padded_labels(labels, allow_unlabelled)
        return D2E2SInputs(data, words=None if words is None else [list(sentence) for sentence in words])

    def windows(self, words: Sequence[str], max_length: int | None = None) -> list[tuple[int, int]]:
        """Cut a sentence that is too long for the encoder into ranges of words [start, end) that fit.

        The ranges follow one another without gap or overlap, so nothing is lost and nothing is found twice.
        They end after clause punctuation where some stands in the second half of the range.

        Raises:
            UserError: empty word, or a single word with more pieces than the window.
        """
        room = (max_length or self.window) - self._special_tokens
        sizes = self._piece_counts(words)
        for word, size in zip(words, sizes, strict=True):
            if size > room:
                raise UserError(f"word {word[:20]!r}: {size} word pieces, more than the {room} that fit")
        return pack_words(words, sizes, room)

    def split_text(self, text: str, max_length: int | None = None, window_words: int | None = None) -> list[list[Word]]:
        """Sentences of a raw text, each within the window; their concatenation covers the text.

        Words with more pieces than a window are cut too; text without any word gives an empty list.

        Args:
            max_length, window_words: replace those of the processor; 0 words: as many as fit the encoder.
        """
        sentences = split_sentences(text, self.split_words(text))
        return [part for sentence in sentences for part in self.fit_words(sentence, max_length, window_words)]

    def fit_words(
        self, words: list[Word], max_length: int | None = None, window_words: int | None = None
    ) -> list[list[Word]]:
        """Cut one sentence into parts that fit; mostly it is its only part. Arguments as for `split_text`."""
        most = self.window_words if window_words is None else checked_window(window_words)
        return self._fit(words, (max_length or self.window) - self._special_tokens, most or 0) if words else []

    def _fit(self, sentence: list[Word], room: int, most: int) -> list[list[Word]]:
        """Cut one sentence into parts of at most `room` pieces, and one of more than twice `most` words (0: any)."""
        texts = [word.text for word in sentence]
        most = most if len(texts) > 2 * most else 0
        # No ASCII character makes more than one piece, and a tokenizer may add one before each word.
        if not most and sum(map(len, texts)) + len(texts) <= room and all(map(str.isascii, texts)):
            return [sentence]
        sizes = self._piece_counts(texts)
        if max(sizes) > room:
            return self._fit(halve_long(sentence, sizes, room), room, most)
        return [sentence[a:b] for a, b in pack_words(texts, sizes, room, most)]

    def post_process_triplets(
        self,
        outputs: Any,
        inputs: D2E2SInputs | Sequence[Sequence[str]],
        threshold: float | None = None,
    ) -> list[list[dict[str, Any]]]:
        """Read the decoded triplets of the model.

        Args:
            outputs: the model's output: `triplets` (B, K, 5) int64, -100 in rows that hold none, and
                `scores` (B, K) in [0, 1].
            inputs: what the processor or collator made, or the words of each sentence.
            threshold: keep only triplets with at least this score. The model has already left out those
                below `config.decision_threshold`.

        Returns:
            for each sentence a list of `{"aspect": {"start", "end", "text"}, "opinion": {...}, "sentiment",
            "score"}`, word indices half open, sorted by position, each triplet once with its best score.

        Raises:
            UserError: `inputs` without words, or for another number of sentences; or a model in training mode, which
                decodes no triplets.
        """
        if outputs.get("triplets") is None:
            raise UserError("outputs hold no triplets: the model was in training mode; call model.eval() first")
        words = getattr(inputs, "words", None) if isinstance(inputs, Mapping) else inputs
        if words is None:
            raise UserError("inputs carry no words: give the list of words of each sentence instead")
        rows, scores = outputs["triplets"].tolist(), outputs["scores"].float().tolist()
        if len(rows) != len(words):
            raise UserError(f"outputs of {len(rows)} sentences, inputs of {len(words)}: not the same batch")
        return [
            [self._triplet(*found, sentence) for found in _best(rows[i], scores[i], threshold)]
            for i, sentence in enumerate(words)
        ]

    def _triplet(self, row: tuple[int, ...], score: float, words: Sequence[str]) -> dict[str, Any]:
        aspect_start, aspect_end, opinion_start, opinion_end, sentiment = row
        return {
            "aspect": _span(words, aspect_start, aspect_end),
            "opinion": _span(words, opinion_start, opinion_end),
            "sentiment": self.sentiment_labels[sentiment],
            "score": score,
        }

    def _encode_words(self, words: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        """Pieces and nodes of each sentence; a word without any piece becomes the unknown token."""
        encoded = self.tokenizer(
            _checked_words(words),
            is_split_into_words=True,
            padding=False,
            truncation=False,
            # "[SEP]" in a review is text (Unigram vocabularies hold it as a piece too: one of the word).
            split_special_tokens=True,
            verbose=False,
        )
        features = []
        for i, sentence in enumerate(words):
            pieces, nodes = encoded["input_ids"][i], _nodes(encoded.word_ids(i))
            if len(set(nodes) - {-1}) <= len(sentence):
                self._restore_lost(pieces, nodes, len(sentence))
            feature = {"input_ids": pieces, "word_index": nodes}
            if "token_type_ids" in encoded:
                # All of one segment.
                feature["token_type_ids"] = [encoded["token_type_ids"][i][0]] * len(pieces)
            features.append(feature)
        return features

    def _restore_lost(self, pieces: list[int], nodes: list[int], words: int) -> None:
        """Insert the unknown token for each word that has no piece, after the piece before it."""
        for node in sorted(set(range(1, words + 1)) - set(nodes)):
            place = len(nodes) - nodes[::-1].index(node - 1)
            pieces.insert(place, self.tokenizer.unk_token_id)
            nodes.insert(place, node)

    def _piece_counts(self, words: Sequence[str]) -> list[int]:
        """Number of pieces of each word, special tokens apart."""
        nodes = self._encode_words([words])[0]["word_index"]
        return torch.bincount(torch.tensor(nodes) + 1, minlength=len(words) + 2)[2:].tolist()

    def _deprel_ids(self, deprels: Sequence[str] | None, words: Sequence[str], index: int) -> list[int]:
        if deprels is None:
            return [-1] * len(words)
        if len(deprels) != len(words):
            raise UserError(f"sentence {index}: {len(deprels)} deprels, {len(words)} words: give one a word")
        known = {label: i for i, label in enumerate(self.deprel_labels)}
        return [known.get(deprel, known.get(universal_relation(deprel), -1)) for deprel in deprels]

    def _labels(
        self, triplets: Sequence[Mapping[str, Any]] | None, words: Sequence[str], index: int
    ) -> list[list[int]] | None:
        if triplets is None:
            return None
        return [self._label(triplet, len(words), index) for triplet in triplets]

    def _label(self, triplet: Mapping[str, Any], length: int, index: int) -> list[int]:
        for role in ("aspect", "opinion"):
            start, end = triplet[role]
            if not 0 <= start < end <= length:
                raise UserError(
                    f"sentence {index}: {role} [{start}, {end}) is no span of its {length} words: "
                    f"expected 0 <= start < end <= {length}"
                )
        if triplet["sentiment"] not in self.sentiment_labels:
            raise UserError(
                f"sentence {index}: unknown sentiment {triplet['sentiment']!r}: expected one of {self.sentiment_labels}"
            )
        return [*triplet["aspect"], *triplet["opinion"], self.sentiment_labels.index(triplet["sentiment"])]


def universal_relation(deprel: str) -> str:
    """The relation without its subtype, which treebanks and parsers do not share: `nmod:poss` is `nmod`."""
    return deprel.partition(":")[0]


# --- checks and small steps -------------------------------------------------------------------------------


def _checked_words(words: Sequence[Sequence[str]]) -> list[list[str]]:
    """The sentences as lists of words that the tokenizer can encode."""
    if isinstance(words, str) or not words or isinstance(words[0], str):
        raise UserError("words must be a list of sentences, each a list of words: [['Good', 'food']]")
    for i, sentence in enumerate(words):
        if isinstance(sentence, str) or not all(isinstance(word, str) for word in sentence):
            raise UserError(f"sentence {i}: expected a list of words (str), got {sentence!r}")
        if not sentence:
            raise UserError(f"sentence {i}: no words: leave the sentence out")
        if "" in sentence:
            raise UserError(f"sentence {i}: word {list(sentence).index('')} is empty: leave it out")
    return [[without_surrogates(word) for word in sentence] for sentence in words]


def _check_length(pieces: int, window: int, words: Sequence[str], index: int) -> None:
    if pieces > window:
        raise UserError(
            f"sentence {index} ({' '.join(words)[:40]!r}..., {len(words)} words): {pieces} word pieces, "
            f"more than the {window} that fit the encoder: cut it at the ranges of processor.windows(words)"
        )


def _checked_heads(heads: Sequence[int] | None, words: Sequence[str], index: int) -> list[int]:
    """Heads as a list; -1 for every word of a sentence without."""
    if heads is None:
        return [-1] * len(words)
    if len(heads) != len(words):
        raise UserError(f"sentence {index}: {len(heads)} heads, {len(words)} words: give one a word")
    if min(heads) < -1 or max(heads) > len(words):
        raise UserError(
            f"sentence {index}: heads from {min(heads)} to {max(heads)}: expected 1 to {len(words)}, "
            "0 for the root, -1 if not known"
        )
    itself = [word for word, head in enumerate(heads, 1) if head == word]
    if itself:
        raise UserError(f"sentence {index}: word {itself[0]} is its own head: expected another word, or 0 for the root")
    return list(heads)


def _for_each(values: Sequence[Any] | None, words: Sequence[Any], name: str) -> Sequence[Any]:
    if values is None:
        return [None] * len(words)
    if len(values) != len(words):
        raise UserError(f"{name} of {len(values)} sentences, words of {len(words)}: give one for each")
    return values


def _nodes(word_ids: Sequence[int | None]) -> list[int]:
    """Node of each piece: 0 for the leading special token, i + 1 for word i, -1 for other special tokens."""
    return [0] + [-1 if word is None else word + 1 for word in word_ids[1:]]


def _span(words: Sequence[str], start: int, end: int) -> dict[str, Any]:
    return {"start": start, "end": end, "text": " ".join(words[start:end])}


def _best(
    rows: Sequence[Sequence[int]], scores: Sequence[float], threshold: float | None
) -> list[tuple[tuple[int, ...], float]]:
    """Each triplet once with its best score, by position; without padding and those below `threshold`."""
    best: dict[tuple[int, ...], float] = {}
    for row, score in zip(rows, scores, strict=True):
        if row[0] >= 0 and (threshold is None or score >= threshold):
            best[tuple(row)] = max(score, best.get(tuple(row), score))
    return sorted(best.items(), key=lambda item: (item[0][0], item[0][2], item[0]))


D2E2SProcessor.register_for_auto_class()
