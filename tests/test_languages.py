"""Four scripts from raw text or an annotated export to words, a training batch, a loss, and triplets with offsets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tiny_models import TINY, tiny_checkpoint, tiny_encoder
from transformers import AutoTokenizer

from d2e2s import (
    D2E2SForTripletExtraction,
    D2E2SProcessor,
    DataCollatorForTripletExtraction,
    TripletExtractionPipeline,
)
from d2e2s.data_scripts import from_doccano
from d2e2s.data_scripts.records import read_records
from d2e2s.prediction.predict import load_pipeline
from d2e2s.words_d2e2s import WORD_SPLITTERS, WordSplitter, split_sentences

CHINESE_EXPORT = Path(__file__).parent / "data" / "doccano.jsonl"


class Example(NamedTuple):
    """A text of two sentences; the words of the first as `unicode` splits them."""

    text: str
    words: list[str]
    second: str


EXAMPLES = {
    "Chinese": Example("服务太慢了。 菜很好吃！", list("服务太慢了。"), "菜很好吃！"),
    "Japanese": Example("ラーメンが旨い。サービスは遅いです！", list("ラーメンが旨い。"), "サービスは遅いです！"),
    "Arabic": Example("الطعام رائع، حقًا. هل المكان نظيف؟", ["الطعام", "رائع", "،", "حقًا", "."], "هل المكان نظيف؟"),
    "Russian": Example("Еда — вкусная. Официант груб!", ["Еда", "—", "вкусная", "."], "Официант груб!"),
}


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> TripletExtractionPipeline:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("model"), "xlm-roberta", "unicode")
    return load_pipeline(str(folder), device="cpu")


@pytest.mark.parametrize("splitter", WORD_SPLITTERS)
@pytest.mark.parametrize("language", EXAMPLES)
def test_words_tell_their_place(language: str, splitter: str) -> None:
    text = EXAMPLES[language].text
    words = WordSplitter(splitter)(text)
    assert [text[word.start : word.end] for word in words] == [word.text for word in words]
    assert "".join(word.text for word in words) == text.replace(" ", "")


@pytest.mark.parametrize("language", EXAMPLES)
def test_words_and_sentences(language: str) -> None:
    text, words, second = EXAMPLES[language]
    sentences = split_sentences(text, WordSplitter("unicode")(text))
    assert [word.text for word in sentences[0]] == words
    assert [text[part[0].start : part[-1].end] for part in sentences[1:]] == [second]


@pytest.mark.parametrize("language", EXAMPLES)
def test_every_word_has_pieces_of_its_own(language: str, extract: TripletExtractionPipeline) -> None:
    """Scripts that the vocabulary does not know too: no word is lost, none is cut off."""
    processor: D2E2SProcessor = extract.processor
    sentences = [[word.text for word in part] for part in processor.split_text(EXAMPLES[language].text)]
    inputs = processor(words=sentences)
    for row, mask, words in zip(inputs["word_index"], inputs["word_mask"], sentences, strict=True):
        assert set(row.tolist()) - {-1} == set(range(len(words) + 1))
        assert mask.sum() == len(words)


@pytest.mark.parametrize("language", EXAMPLES)
def test_offsets_of_triplets_are_exact(language: str, extract: TripletExtractionPipeline) -> None:
    text = EXAMPLES[language].text
    result: Any = extract(text, threshold=0.0, return_tree=True)
    words = {(word["start"], word["end"]) for sentence in result["tree"] for word in sentence}
    starts, ends = {start for start, _ in words}, {end for _, end in words}
    assert result["triplets"]
    for term in (triplet[role] for triplet in result["triplets"] for role in ("aspect", "opinion")):
        assert text[term["start"] : term["end"]] == term["text"]
        assert term["start"] in starts and term["end"] in ends


def test_a_batch_of_all_languages_is_each_alone(extract: TripletExtractionPipeline) -> None:
    texts = [example.text for example in EXAMPLES.values()]
    together: Any = extract(texts, batch_size=len(texts))
    for text, found in zip(texts, together, strict=True):
        alone: Any = extract(text)
        assert [_places(triplet) for triplet in found] == [_places(triplet) for triplet in alone]


def _places(triplet: dict[str, Any]) -> tuple[Any, ...]:
    return (*triplet["aspect"].values(), *triplet["opinion"].values(), triplet["sentiment"])


def test_an_annotated_export_trains_a_model(tmp_path: Path) -> None:
    """Chinese and Russian reviews: export, records, training batch, loss, gradients."""
    options = ["--word_splitter", "unicode", "--split", "1", "0", "0"]
    assert from_doccano.main(["--input", str(CHINESE_EXPORT), "--output_dir", str(tmp_path), *options]) == 0
    records = read_records(tmp_path / "train.jsonl")
    encoder = tiny_encoder("xlm-roberta", tmp_path / "encoder")
    torch.manual_seed(0)
    model = D2E2SForTripletExtraction.from_encoder(str(encoder), **TINY).train()
    processor = D2E2SProcessor(AutoTokenizer.from_pretrained(encoder), word_splitter="unicode")
    batch = DataCollatorForTripletExtraction(processor)(records)
    chinese = next(number for number, record in enumerate(records) if record["id"] == "41-1")
    assert batch["labels"][chinese, :2].tolist() == [[5, 6, 7, 9, 0], [12, 14, 15, 16, 1]]
    loss = model(**batch).loss
    loss.backward()
    assert loss.isfinite() and loss > 0
    gradients = [parameter.grad for parameter in model.d2e2s.encoder.parameters() if parameter.grad is not None]
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
