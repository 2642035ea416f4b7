"""The column of triplets in Arrow: one type everywhere, and `datasets` that has nothing to guess."""

from __future__ import annotations

import pyarrow
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from tiny_models import tiny_checkpoint

from d2e2s import TRIPLETS, TripletExtractionPipeline, load_pipeline, mapper
from d2e2s.prediction.columns import TRIPLETS_TYPE, triplets_array

EMPTY = 1001  # `datasets` guesses types from the first 1,000 rows
TEXTS = [*[""] * EMPTY, "The food was great. The service was slow!"]


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> TripletExtractionPipeline:
    return load_pipeline(str(tiny_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture
def data() -> Dataset:
    features = Features({"review": Value("string"), "stars": ClassLabel(names=["bad", "good"]), "id": Value("int32")})
    columns = {"review": TEXTS, "stars": [1] * len(TEXTS), "id": list(range(len(TEXTS)))}
    return Dataset.from_dict(columns, features=features)


def test_texts_without_triplets_before_one_with(extract: TripletExtractionPipeline, data: Dataset) -> None:
    with pytest.raises(Exception, match="[Cc]ould"):  # which is why there is a mapper
        data.map(lambda row: {"triplets": extract(row["review"])})
    mapped = data.map(mapper(extract, column="review"), batched=True, load_from_cache_file=False)
    assert mapped.features == {**data.features, "triplets": TRIPLETS}
    assert mapped.remove_columns("triplets").to_dict() == data.to_dict()
    assert mapped[:EMPTY]["triplets"] == [[]] * EMPTY
    assert mapped[-1]["triplets"] == extract(TEXTS[-1]) != []


def test_a_lambda_with_the_published_features(extract: TripletExtractionPipeline, data: Dataset) -> None:
    features = Features({**data.features, "triplets": TRIPLETS})
    mapped = data.map(lambda row: {"triplets": extract(row["review"])}, features=features)
    assert mapped[-1]["triplets"] == extract(TEXTS[-1])


@pytest.mark.parametrize("streaming", [False, True], ids=["dataset", "streaming"])
def test_arrow_format(extract: TripletExtractionPipeline, data: Dataset, streaming: bool) -> None:
    formatted = (data.to_iterable_dataset() if streaming else data).with_format("arrow")
    mapped = formatted.map(mapper(extract, "review", "found", threshold=1.0), batched=True)
    tables = list(mapped.iter(500))
    assert {table.schema.field("found").type for table in tables} == {TRIPLETS_TYPE}
    assert pyarrow.concat_tables(tables)["id"].to_pylist() == data["id"][:]
    assert all(table["found"].to_pylist() == [[]] * len(table) for table in tables)


def test_an_older_column_is_replaced(extract: TripletExtractionPipeline) -> None:
    table = pyarrow.table({"text": ["It was great"], "triplets": ["?"], "id": [7]})
    added = mapper(extract)(table)
    assert added.column_names == ["text", "id", "triplets"]
    assert added["triplets"].to_pylist() == [extract("It was great")]


def test_null_is_no_empty_list() -> None:
    assert triplets_array([None, []]).to_pylist() == [None, []]


def test_what_is_no_text_is_refused(extract: TripletExtractionPipeline) -> None:
    with pytest.raises(TypeError, match="text 0: expected a str"):
        mapper(extract)(pyarrow.table({"text": [1, 2]}))
