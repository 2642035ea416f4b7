"""Raw text to triplets with exact character offsets.

Every text is split into sentences that fit the encoder's window; each sentence is one row of the model. The rows of
many texts are grouped by length into batches, and what is found in them is put together text by text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from transformers import Pipeline

from .errors_d2e2s import UserError
from .spans_d2e2s import ASPECT, OPINION
from .words_d2e2s import Word, checked_window, is_blank, placed_words, remedy_for

TASK = "aspect-sentiment-triplet-extraction"
BATCH_SIZE = 32
# Batches that are read before they are sorted by length: enough for little padding, few enough to stream.
READ_AHEAD = 32

Span = tuple[int, int]
Found = dict[str, Any]


def custom_pipelines() -> dict[str, Any]:
    """What a checkpoint's `config.json` says of its pipeline, for `transformers.pipeline` to find it."""
    return {TASK: {"impl": "pipeline_d2e2s.TripletExtractionPipeline", "pt": ["AutoModel"], "type": "text"}}


class Row(NamedTuple):
    """A sentence (or a window of a long one), and the aspects asked for in it: word spans, None = whatever is found."""

    words: list[Word]
    aspects: list[Span] | None


class Document(NamedTuple):
    """A text with its rows. Offsets of words are offsets in `text`."""

    text: str
    rows: list[Row]


class TripletExtractionPipeline(Pipeline):
    """Extracts (aspect, opinion, sentiment) triplets from raw text.

    Example:

        >>> extract = pipeline(model="<folder or repository>", trust_remote_code=True)
        >>> extract("The food was great but the service was slow.")
        [{'aspect': {'text': 'food', 'start': 4, 'end': 8}, 'opinion': {'text': 'great', 'start': 13, 'end': 18},
          'sentiment': 'POS', 'score': 0.98}, ...]

    Raises:
        UserError: no `D2E2SProcessor`, or a model that needs the heads of a parser (`config.syntax="input"`).
    """

    processor: Any  # a D2E2SProcessor
    # Any, because the base class types them as None, its default.
    _load_processor: Any = True
    _load_tokenizer: Any = False
    _load_feature_extractor: Any = False
    _load_image_processor: Any = False
    _load_video_processor: Any = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not hasattr(self.processor, "split_text"):
            raise UserError("the pipeline needs the model's D2E2SProcessor: give processor=...")
        if self.model.config.needs_heads:
            raise UserError('config.syntax="input": this model needs the heads of every sentence, not raw text')
        self.progress: Callable[[int], object] | None = None  # is told how many sentences were read just now
        self.located: set[str] = set()  # aspects that were asked for by name, and stood in some text

    def __call__(
        self, inputs: Any, *, batch_size: int | None = None, num_workers: int | None = None, **options: Any
    ) -> Any:
        """Triplets of one text, or of each of many.

        Args:
            inputs: a text; or a list of texts (gives a list), or any other iterable of them, such as a generator or a
                `KeyDataset` (gives an iterator that reads ahead a little). In place of a text: a list of words (one
                sentence; offsets are those of `" ".join(words)`), or `{"text": ..., "aspects": [...]}`, which asks
                for the aspects of this text. None, NaN and blanks among the texts are no text: an empty result.
            batch_size: sentences a batch, 32 by default. Changes no result.
            num_workers: not used; for compatibility with other pipelines.
            options: `threshold`, `top_k`, `aspects`, `return_terms`, `return_tree`, `window_words`; here or when the
                pipeline is made. See `_sanitize_parameters`.

        Returns:
            for a text a list of `{"aspect": {"text", "start", "end"}, "opinion": {...}, "sentiment", "score"}`, sorted
            by position, each once; characters [start, end) of the text are the surface. With `return_terms` or
            `return_tree` a dictionary with this list as `triplets` and: `aspects` and `opinions`, the terms found
            without a partner, `{"text", "start", "end", "score"}`; `tree`, for each sentence a list of words,
            `{"text", "start", "end", "head", "deprel"}`, heads 1-based in the sentence, 0 = root.

        Raises:
            TypeError: an input of another type, with its number and what is expected.
            UserError: an option out of range, an aspect that cannot be one of this text, sentences in place of words.
        """
        defaults = (self._preprocess_params, self._forward_params, self._postprocess_params)
        given = self._sanitize_parameters(**options)
        parameters = [{**default, **new} for default, new in zip(defaults, given, strict=True)]
        size = (self._batch_size or BATCH_SIZE) if batch_size is None else batch_size
        if size < 1:
            raise UserError(f"batch_size must be at least 1, got {size}")
        if remedy := remedy_for(inputs):
            raise TypeError(f"expected a text or an iterable of texts, got {type(inputs).__name__}{remedy}")
        if isinstance(inputs, str | Mapping):
            return next(self._stream([inputs], size, *parameters))
        results = self._stream(inputs, size, *parameters)
        return list(results) if isinstance(inputs, list | tuple) else results

    def _sanitize_parameters(
        self,
        threshold: float | None = None,
        top_k: int | None = None,
        aspects: Sequence[str | Span] | None = None,
        return_terms: bool | None = None,
        return_tree: bool | None = None,
        window_words: int | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The options of the pipeline, sorted by the step that needs them.

        Args:
            threshold: lowest score of a triplet, instead of the model's `config.decision_threshold`.
            top_k: only the k triplets of a text with the highest scores.
            aspects: only triplets of these aspects: strings (wherever they stand as whole words, in any case) or
                [start, end) in characters (widened to whole words). They are scored even if the model would not
                have taken them for aspects.
            return_terms: also the aspects and opinions without a partner.
            return_tree: also the predicted dependency tree.
            window_words: instead of the processor's: long text without full stops is read in windows of at most so
                many words; 0: of as many as fit the encoder.
        """
        checked_window(window_words)
        if threshold is not None and not 0 <= threshold <= 1:
            raise UserError(f"threshold must lie in [0, 1], got {threshold}")
        if top_k is not None and top_k < 1:
            raise UserError(f"top_k must be at least 1, got {top_k}")
        if return_tree and not self.model.config.uses_parser:
            raise UserError("return_tree: this model has no parser (config.syntax, config.syntactic_gcn)")
        more = {"return_terms": return_terms, "return_tree": return_tree}
        steps = (
            {"aspects": aspects, "window_words": window_words},
            {"threshold": threshold, **more},
            {"top_k": top_k, **more},
        )
        preprocess, forward, postprocess = (
            {name: value for name, value in step.items() if value is not None} for step in steps
        )
        return preprocess, forward, postprocess

    def _stream(
        self,
        inputs: Iterable[Any],
        batch_size: int,
        preprocess: dict[str, Any],
        forward: dict[str, Any],
        postprocess: dict[str, Any],
    ) -> Iterator[Any]:
        """Results in the order of the inputs; reads at most `READ_AHEAD` batches ahead."""
        documents: list[Document] = []
        waiting = 0
        for number, item in enumerate(inputs):
            documents.append(self.preprocess(item, number, **preprocess))
            waiting += max(1, len(documents[-1].rows))
            if waiting >= READ_AHEAD * batch_size:
                yield from self._extract(documents, batch_size, forward, postprocess)
                documents, waiting = [], 0
        yield from self._extract(documents, batch_size, forward, postprocess)

    def _extract(
        self, documents: list[Document], batch_size: int, forward: dict[str, Any], postprocess: dict[str, Any]
    ) -> Iterator[Any]:
        outputs = iter(self._run([row for document in documents for row in document.rows], batch_size, forward))
        for document in documents:
            yield self.postprocess([next(outputs) for _ in document.rows], document, **postprocess)

    def _run(self, rows: Sequence[Row], batch_size: int, forward: dict[str, Any]) -> list[Found]:
        """What the model says of each row, from batches of rows of about the same length."""
        if not rows:
            return []
        features = self.processor.encode([[word.text for word in row.words] for row in rows])
        outputs: list[Found] = [{}] * len(rows)
        for batch in _batches(rows, [len(feature["input_ids"]) for feature in features], batch_size):
            inputs = self._batch([features[i] for i in batch], [rows[i] for i in batch])
            for i, output in zip(batch, _rows_of(self.forward(inputs, **forward)), strict=True):
                outputs[i] = output
            if self.progress is not None:
                self.progress(len(batch))
        return outputs

    def _batch(self, features: list[dict[str, Any]], rows: list[Row]) -> Mapping[str, torch.Tensor]:
        inputs = self.processor.pad(features)
        if rows[0].aspects is not None:
            most = max(1, *(len(row.aspects or ()) for row in rows))
            padding = [(-1, -1)]
            spans = [[*(row.aspects or ()), *padding * (most - len(row.aspects or ()))] for row in rows]
            inputs["aspects"] = torch.tensor(spans)
        return inputs

    def preprocess(
        self, item: Any, number: int = 0, aspects: Sequence[str | Span] | None = None, window_words: int | None = None
    ) -> Document:
        """Split one input into rows. `number` is its place in the inputs, for messages."""
        where = f"text {number}"
        if isinstance(item, Mapping):
            if "text" not in item:
                raise TypeError(f'{where}: no "text" among the keys {[*item]!r}: give {{"text": "..."}}')
            aspects, item = item.get("aspects", aspects), item["text"]
        if isinstance(item, str):
            text, sentences = item, self.processor.split_text(item, window_words=window_words)
        elif is_blank(item):
            text, sentences = "", []
        elif isinstance(item, list | tuple):
            words = placed_words(item, where)
            text, sentences = " ".join(item), self.processor.fit_words(words, window_words=window_words)
        else:
            remedy = ": decode it" if isinstance(item, bytes) else ""
            expected = 'a str, a list of words or {"text": str, "aspects": [...]}'
            raise TypeError(f"{where}: expected {expected}, got {type(item).__name__}{remedy}")
        if aspects is None:
            return Document(text, [Row(words, None) for words in sentences])
        asked = _locate(aspects, text, sentences, self.model.config.max_span_width, where, self.located)
        return Document(text, [Row(words, spans) for words, spans in zip(sentences, asked, strict=True)])

    def _forward(
        self,
        inputs: Mapping[str, torch.Tensor],
        threshold: float | None = None,
        return_terms: bool = False,
        return_tree: bool = False,
    ) -> dict[str, torch.Tensor]:
        self.model.eval()  # whatever the caller did with it meanwhile
        output = self.model(**inputs, threshold=threshold, return_relations=return_tree)
        kept = {"triplets": output.triplets, "scores": output.scores}
        if return_terms:
            kept["spans"] = output.span_logits.softmax(-1)
        if return_tree:
            kept["heads"] = output.heads
            if output.relation_logits is not None:
                kept["deprels"] = output.relation_logits.argmax(-1)
        return kept

    def get_inference_context(self) -> Any:
        return torch.inference_mode

    def postprocess(
        self,
        outputs: Sequence[Found],
        document: Document,
        top_k: int | None = None,
        return_terms: bool = False,
        return_tree: bool = False,
    ) -> list[Found] | dict[str, Any]:
        """Put together what was found in the rows of one text."""
        text, rows = document
        found = [self._triplets(output, row) for output, row in zip(outputs, rows, strict=True)]
        triplets = [_placed_triplet(triplet, row, text) for i, row in enumerate(rows) for triplet in found[i]]
        result: dict[str, Any] = {"triplets": _best(triplets, top_k)}
        if return_terms:
            for name, kind in (("aspect", ASPECT), ("opinion", OPINION)):
                terms = (_unpaired(outputs[i]["spans"], row, kind, found[i], name) for i, row in enumerate(rows))
                placed = ((row, term) for row, of_row in zip(rows, terms, strict=True) for term in of_row)
                result[f"{name}s"] = [{**_placed(span, row, text), "score": score} for row, (span, score) in placed]
        if return_tree:
            result["tree"] = [self._tree(output, row) for output, row in zip(outputs, rows, strict=True)]
        return result if return_terms or return_tree else result["triplets"]

    def _triplets(self, output: Found, row: Row) -> list[Found]:
        """Triplets of one row in word indices."""
        return self.processor.post_process_triplets(output, [[word.text for word in row.words]])[0]

    def _tree(self, output: Found, row: Row) -> list[Found]:
        labels = self.model.config.deprel_labels
        heads = output["heads"][0].tolist()
        deprels = output["deprels"][0].tolist() if "deprels" in output else None
        return [
            {**word._asdict(), "head": heads[i], "deprel": labels[deprels[i]] if deprels else None}
            for i, word in enumerate(row.words)
        ]

    def save_pretrained(self, save_directory: str | PathLike[Any], **kwargs: Any) -> None:
        """Save model, processor and the pipeline's own code; after an error (a full disk, say) it is as it was.

        Args:
            kwargs: passed on to the model; with `push_to_hub=True` the `repo_id` is the folder's name unless given.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("dtype", "torch_dtype", "attn_implementation"):  # the model's, which `pipeline` tells both
            self.processor.tokenizer.init_kwargs.pop(name, None)
        kwargs.setdefault("repo_id", folder.resolve().name)
        with TemporaryDirectory(prefix=".writing-", dir=folder) as new:
            super().save_pretrained(new, **kwargs)
            self.processor.save_pretrained(new, **kwargs)
            _move(Path(new), folder)


def _move(source: Path, folder: Path) -> None:
    """Files of a new checkpoint take the place of those in `folder`; weights and checksums of an older one go."""
    files = list(source.iterdir())
    rights = (source / "config.json").stat().st_mode  # safetensors writes for its owner alone, whatever the umask
    for file in files:
        file.chmod(rights)
        file.replace(folder / file.name)
    for old in {*folder.glob("*.safetensors*"), *folder.glob("SHA256SUMS")} - {folder / file.name for file in files}:
        old.unlink()


def _batches(rows: Sequence[Row], lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices of rows of about the same length, longest first; those with given aspects apart from the others."""
    for asked in (False, True):
        group = [i for i, row in enumerate(rows) if (row.aspects is not None) == asked]
        group.sort(key=lambda i: -lengths[i])
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _rows_of(outputs: Mapping[str, torch.Tensor]) -> Iterator[Found]:
    """The outputs of a batch, row by row; each keeps a batch dimension of 1."""
    count = len(outputs["triplets"])
    return ({name: value[i : i + 1] for name, value in outputs.items()} for i in range(count))


def _placed(span: Span, row: Row, text: str) -> Found:
    """A word span of a row as characters of the text."""
    start, end = row.words[span[0]].start, row.words[span[1] - 1].end
    return {"text": text[start:end], "start": start, "end": end}


def _placed_triplet(triplet: Found, row: Row, text: str) -> Found:
    spans = {role: (triplet[role]["start"], triplet[role]["end"]) for role in ("aspect", "opinion")}
    return {**triplet, **{role: _placed(span, row, text) for role, span in spans.items()}}


def _best(triplets: list[Found], top_k: int | None) -> list[Found]:
    """The k triplets with the highest scores, in the order they came in."""
    if top_k is None or len(triplets) <= top_k:
        return triplets
    ranked = sorted(range(len(triplets)), key=lambda i: -triplets[i]["score"])
    return [triplets[i] for i in sorted(ranked[:top_k])]


def _unpaired(spans: torch.Tensor, row: Row, kind: int, triplets: list[Found], role: str) -> list[tuple[Span, float]]:
    """Terms of a kind without a partner, by position, with the span classifier's probability.

    Those are the spans of the kind that overlap no term of a triplet and none that scores higher; of aspects that were
    asked for, the ones without a triplet.

    Args:
        spans: `(1, W, S, 3)` probabilities.
    """
    scores = spans[0, ..., kind]
    taken = [(triplet[role]["start"], triplet[role]["end"]) for triplet in triplets]
    if kind == ASPECT and row.aspects is not None:
        return [(span, float(scores[span[0], span[1] - span[0] - 1])) for span in row.aspects if span not in taken]
    places = (spans[0].argmax(-1) == kind).nonzero().tolist()
    ranked = sorted((-float(scores[start, width]), start, start + width + 1) for start, width in places)
    kept = []
    for score, start, end in ranked:
        if end <= len(row.words) and all(end <= a or b <= start for a, b in taken):
            taken.append((start, end))
            kept.append(((start, end), -score))
    return sorted(kept)


def _locate(
    aspects: Sequence[str | Span],
    text: str,
    sentences: Sequence[Sequence[Word]],
    max_width: int,
    where: str,
    located: set[str],
) -> list[list[Span]]:
    """The word spans of each sentence where an aspect that was asked for stands; names that stand somewhere are
    `located`.
    """
    if isinstance(aspects, str) or not isinstance(aspects, Sequence):
        raise TypeError(f'aspects must be a list such as ["food", (10, 17)], got {aspects!r}')
    spans: list[set[Span]] = [set() for _ in sentences]
    for aspect in aspects:
        places = (
            _occurrences(aspect, text, sentences)
            if isinstance(aspect, str)
            else [_covered(aspect, text, sentences, where)]
        )
        if places and isinstance(aspect, str):
            located.add(aspect)
        for sentence, start, end in places:
            if end - start > max_width:
                raise UserError(f"{where}: aspect {aspect!r} has {end - start} words, the model takes {max_width}")
            spans[sentence].add((start, end))
    return [sorted(found) for found in spans]


def _occurrences(aspect: str, text: str, sentences: Sequence[Sequence[Word]]) -> list[tuple[int, int, int]]:
    """(sentence, first word, end) wherever the aspect stands as whole words of one sentence."""
    if not aspect.strip():
        raise UserError(f"aspect {aspect!r} is empty")
    starts = {word.start: (s, i) for s, words in enumerate(sentences) for i, word in enumerate(words)}
    ends = {word.end: (s, i + 1) for s, words in enumerate(sentences) for i, word in enumerate(words)}
    pattern = r"\s+".join(map(re.escape, aspect.split()))
    places = []
    for match in re.finditer(pattern, text, re.IGNORECASE):
        first, last = starts.get(match.start()), ends.get(match.end())
        if first and last and first[0] == last[0]:
            places.append((*first, last[1]))
    return places


def _covered(span: Any, text: str, sentences: Sequence[Sequence[Word]], where: str) -> tuple[int, int, int]:
    """(sentence, first word, end) of the words that characters [start, end) touch."""
    if not isinstance(span, list | tuple) or [type(place) for place in span] != [int, int]:
        raise TypeError(f"{where}: aspect {span!r}: expected a string, or [start, end) in characters")
    start, end = span
    if not 0 <= start < end <= len(text):
        raise UserError(f"{where}: aspect [{start}, {end}) does not fit a text of {len(text)} characters")
    touched = [
        (s, i)
        for s, words in enumerate(sentences)
        for i, word in enumerate(words)
        if word.start < end and start < word.end
    ]
    if not touched or touched[0][0] != touched[-1][0]:
        reason = "crosses the border of a sentence" if touched else "holds no word"
        raise UserError(f"{where}: aspect [{start}, {end}) {reason}")
    return (*touched[0], touched[-1][1] + 1)
