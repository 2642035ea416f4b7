"""An encoder learns ratings: what it can then, what it leaves behind, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
import torch
from tiny_models import KINDS, WINDOW, tiny_encoder
from transformers import AutoModel, AutoTokenizer, EvalPrediction

from d2e2s.data_scripts.dataset_card import read_dataset_card
from d2e2s.data_scripts.records import RecordError
from d2e2s.encoders import encoder_origin
from d2e2s.training.config_files import parse_arguments
from d2e2s.training.run import run
from experiments import vader_ratings
from experiments.ratings import RatingArguments, RatingModel, correlation, learn_ratings, main, read_ratings

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data_scripts" / "sample_corpus"
GOOD, BAD = ("great", "delicious", "excellent", "friendly"), ("terrible", "bad", "rude", "slow")
THINGS = ("pizza", "sushi", "wine", "waiter", "staff", "laptop", "screen", "keyboard")


def rated(low: float = 1, high: float = 5) -> list[dict[str, Any]]:
    """Rated texts: the adjective says how."""
    ratings = [(word, high) for word in GOOD] + [(word, low) for word in BAD]
    forms = ("the {} is {}", "{} was {} and i have it", "their {} is really {}", "we had the {} and it was {}")
    return [{"text": form.format(t, word), "rating": r} for t in THINGS for word, r in ratings for form in forms]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder("bert", tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def arguments(encoder: Path, tmp_path: Path) -> Callable[..., RatingArguments]:
    """Arguments of a short training on `rows`, into `tmp_path/out`."""

    def make(rows: list[dict[str, Any]], **extra: Any) -> RatingArguments:
        values = {
            "files": [str(write(tmp_path / "rated.jsonl", rows))],
            "output_dir": str(tmp_path / "out"),
            "encoder_name_or_path": str(encoder),
            "num_train_epochs": 4,
            "learning_rate": 5e-3,
            "per_device_train_batch_size": 8,
            "use_cpu": True,
        }
        return RatingArguments(**{**values, **extra})

    return make


def weights(folder: Path | str) -> dict[str, torch.Tensor]:
    return AutoModel.from_pretrained(folder).state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("family", KINDS)
def test_it_learns(family: str, arguments: Callable[..., RatingArguments], tmp_path: Path) -> None:
    start = tiny_encoder(family, tmp_path / "start")
    figures = learn_ratings(arguments(rated(), encoder_name_or_path=str(start)))
    assert figures["correlation"] > 0.8
    assert figures["texts"] + figures["held_out"] == len(rated()) and figures["held_out"] == 13
    assert figures == json.loads((tmp_path / "out" / "ratings.json").read_text())
    before, after = weights(start), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert {name for name in before if "embed" in name and "weight" in name} & set(changed)
    text = "the waiter was terrible"
    assert AutoTokenizer.from_pretrained(tmp_path / "out")(text) == AutoTokenizer.from_pretrained(start)(text)


@pytest.mark.slow
def test_the_scale_of_ratings_does_not_matter(arguments: Callable[..., RatingArguments], tmp_path: Path) -> None:
    learn_ratings(arguments(rated(1, 5), num_train_epochs=1))
    stars = weights(tmp_path / "out")
    learn_ratings(arguments(rated(0, 100), num_train_epochs=1, output_dir=str(tmp_path / "percent")))
    percent = weights(tmp_path / "percent")
    for name in stars:
        torch.testing.assert_close(stars[name], percent[name])
    learn_ratings(arguments(rated(1, 5), num_train_epochs=1, seed=7, output_dir=str(tmp_path / "seed")))
    other = weights(tmp_path / "seed")
    assert any(not torch.allclose(stars[name], other[name]) for name in stars)


@pytest.mark.slow
def test_a_model_says_what_its_encoder_learned(
    arguments: Callable[..., RatingArguments], encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")  # the card of the rated texts
    words = arguments(rated())
    argv = [*words.files, "--output_dir", words.output_dir, "--encoder_name_or_path", str(encoder)]
    argv += ["--dataset_name", "reviews of mine", "--num_train_epochs", "1", "--use_cpu"]
    assert main(argv) == 0
    assert "correlation with the ratings of 13 other texts: " in capsys.readouterr().out
    again = [*words.files, f"--encoder_name_or_path={words.output_dir}", f"--output_dir={tmp_path / 'again'}"]
    assert main([*again, "--num_train_epochs=0.1", "--use_cpu"]) == 0
    rest = {"train_file": SAMPLE / "dev.jsonl", "eval_strategy": "no", "save_strategy": "no", "max_steps": 1}
    rest |= {"load_best_model_at_end": False, "do_train": True, "use_cpu": True, "disable_tqdm": True}
    rest |= {"encoder_name_or_path": tmp_path / "again", "output_dir": tmp_path / "model", "head_size": 16}
    figures = run(parse_arguments([f"--{name}={value}" for name, value in rest.items()]))
    step = {"data": "reviews of mine, ratings", "sentences": 243, "licences": ["mit"]}
    assert figures["earlier_training"] == [step, {**step, "data": "rated, ratings"}]
    assert figures["encoder"] == str(encoder) and figures["base_model"] is None
    said = "Before that, trained on 243 sentences of {}, ratings (licence: mit)."
    said = " ".join(said.format(name) for name in ("rated", "reviews of mine"))
    assert said in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_texts_of_csv_and_of_several_files(tmp_path: Path) -> None:
    rows = rated()
    with (tmp_path / "a.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["review", "stars"])
        table.writeheader()
        table.writerows({"review": row["text"], "stars": f"{row['rating']:.1f}"} for row in rows)
        table.writerow({"review": " ", "stars": "2"})  # nothing to read: left out
    other = write(tmp_path / "b.jsonl", [{"review": ["the", "wine", "is", "bad"], "stars": 2}])
    texts, ratings = read_ratings([str(tmp_path / "a.csv"), str(other)], "review", "stars")
    assert texts == [*(row["text"] for row in rows), "the wine is bad"]
    assert ratings == [*(float(row["rating"]) for row in rows), 2.0]


def test_what_is_cut_off_is_said(
    arguments: Callable[..., RatingArguments], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    rows = [*rated(), {"text": " ".join(60 * ["pizza"]), "rating": 3}]
    learn_ratings(arguments(rows, num_train_epochs=0.1, max_length=16))
    assert "1 of 257 texts are read to word piece 16 only (--max_length)" in caplog.text
    rows[-1]["text"] *= 5  # longer than the encoder's window
    learn_ratings(arguments(rows, num_train_epochs=0.1, max_length=1000))
    assert f"1 of 257 texts are read to word piece {WINDOW} only (--max_length)" in caplog.text


@pytest.mark.parametrize(
    ("rows", "extra", "expected"),
    [
        (rated(), {"rating_column": "stars"}, "no column 'stars'; choose --rating_column from: 'text', 'rating'"),
        (rated(), {"text_column": "review"}, "no column 'review'; choose --text_column from: 'text', 'rating'"),
        ([*rated(), {"text": "pizza", "rating": None}], {}, "rated.jsonl: row 257: rating is None; expected a number"),
        (rated()[:199], {}, "199 rated texts are too few to learn from"),
        (rated(3, 3), {}, "all texts are rated 3: nothing to learn"),
        (rated(), {"files": ["nowhere.jsonl"]}, "nowhere.jsonl: no such file"),
        (rated(), {"encoder_name_or_path": "./nowhere"}, "nowhere"),
    ],
)
def test_what_is_refused(
    rows: list[dict[str, Any]],
    extra: dict[str, Any],
    expected: str,
    arguments: Callable[..., RatingArguments],
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = arguments(rows, **extra)
    names = ("output_dir", "encoder_name_or_path", "text_column", "rating_column")
    assert main([*told.files, "--use_cpu", *(f"--{name}={getattr(told, name)}" for name in names)]) == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1 and expected in error


@pytest.mark.parametrize("family", KINDS)
def test_padding_does_not_count(family: str, tmp_path: Path) -> None:
    folder = tiny_encoder(family, tmp_path)
    model, tokenizer = RatingModel(AutoModel.from_pretrained(folder)).eval(), AutoTokenizer.from_pretrained(folder)
    texts, labels = ["the wine is bad", " ".join(9 * ["we had the pizza"])], torch.tensor([1.0, -1.0])
    together = model(**tokenizer(texts, padding=True, return_tensors="pt"), labels=labels)
    for i, text in enumerate(texts):
        alone = model(**tokenizer([text], return_tensors="pt"), labels=labels[i : i + 1])["logits"]
        torch.testing.assert_close(together["logits"][i : i + 1], alone)
    torch.testing.assert_close(together["loss"], ((together["logits"] - labels) ** 2).mean())


@pytest.mark.slow
def test_long_texts_fit_the_positions_of_the_encoder(arguments: Callable[..., RatingArguments], tmp_path: Path) -> None:
    """Whatever its tokenizer knows of them."""
    folder = tiny_encoder("bert", tmp_path / "bert")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("model_max_length")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    rows = [{"text": f"{row['text']} and " * 40, "rating": row["rating"]} for row in rated()]
    told = arguments(rows, encoder_name_or_path=str(folder), max_length=2 * WINDOW, num_train_epochs=1)
    assert learn_ratings(told)["texts"] > 0


def test_a_loss_that_is_not_finite_writes_nothing(arguments: Callable[..., RatingArguments], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loss is nan: lower --learning_rate"):
        learn_ratings(arguments(rated(), num_train_epochs=0.2, learning_rate=float("inf")))
    assert not (tmp_path / "out" / "config.json").exists() and not (tmp_path / "out" / "ratings.json").exists()


def test_no_correlation_where_all_are_alike() -> None:
    def found(predicted: list[float], true: list[float]) -> float:
        return correlation(EvalPrediction(np.array(predicted), np.array(true)))["correlation"]

    assert found([1, 2, 4], [-1, -2, -4]) == pytest.approx(-1)
    assert np.isnan(found([1, 2, 3], [5, 5, 5])) and np.isnan(found([0, 0, 0], [1, 2, 3]))


def test_another_model_is_not_overwritten(
    arguments: Callable[..., RatingArguments], encoder: Path, tmp_path: Path
) -> None:
    words = arguments(rated(), num_train_epochs=0.1)
    learn_ratings(words)
    learn_ratings(words)  # its own may be written again
    before = weights(encoder)
    with pytest.raises(ValueError, match="holds another model already"):
        learn_ratings(arguments(rated(), output_dir=str(encoder)))
    assert all(torch.equal(before[name], value) for name, value in weights(encoder).items())


def test_text_that_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,rating\ngood,5\nbad,one\n")
    with pytest.raises(ValueError, match="a.csv: row 2: rating is 'one'; expected a number"):
        read_ratings([str(tmp_path / "a.csv")], "text", "rating")


def test_figures_that_cannot_be_read(tmp_path: Path) -> None:
    assert encoder_origin(str(tmp_path)) == {"encoder": str(tmp_path), "base_model": None}
    hub = "sentence-transformers/all-MiniLM-L6-v2"
    assert encoder_origin("all-MiniLM-L6-v2") == {"encoder": "all-MiniLM-L6-v2", "base_model": hub}
    for content in ("{", "[]", "{}"):
        (tmp_path / "ratings.json").write_text(content)
        with pytest.raises(ValueError, match="ratings.json: cannot be read"):
            encoder_origin(str(tmp_path))


# The rated sentences of VADER


def archive(path: Path, files: dict[str, str], inner: str = vader_ratings.INNER) -> Path:
    """A source distribution with rated sentences, or something like it."""

    def packed(contents: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    inside = packed({f"hutto/{name}_GroundTruth.txt": text.encode("latin-1") for name, text in files.items()})
    path.write_bytes(packed({f"vaderSentiment-3.3.2/{inner}": inside}))
    return path


FILES = {
    "amazonReviewSnippets": "1_1\t-0.85\tbe careful .\n1_2\t2.5\tgreat !\n",
    "movieReviewSnippets": "1\t0\tA film.\n",
    "tweets": "1\t1.5\t:-) nice\n",
    "nytEditorialSnippets": "not read",
}


def test_vader_to_ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    packed = archive(tmp_path / "vader.tar.gz", FILES)
    asked: list[tuple[str, str | None]] = []

    def retrieve(url: str, known_hash: str | None, **_: object) -> str:
        asked.append((url, known_hash))
        return str(packed)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setattr("sys.argv", ["vader_ratings.py", "--output_dir", str(tmp_path / "out")])
    assert vader_ratings.main() == 0
    assert asked == [(vader_ratings.URL, f"sha256:{vader_ratings.SHA256}")]
    assert "2 products, 1 films, 1 tweets" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "out" / "ratings.jsonl").read_text().splitlines()]
    assert rows[0] == {"text": "be careful .", "rating": -0.85, "source": "products"}
    assert [row["rating"] for row in rows] == [-0.85, 2.5, 0.0, 1.5]
    assert read_dataset_card(tmp_path / "out") == {"licence": "mit", "language": "en"}


@pytest.mark.parametrize(
    ("files", "inner", "expected"),
    [
        (FILES, "other.tar.gz", "holds no additional_resources/hutto_ICWSM_2014.tar.gz"),
        ({**FILES, "tweets": "1\t1.5\n"}, vader_ratings.INNER, "tweets_GroundTruth.txt:1: "),
        ({**FILES, "tweets": "1\tgood\tx\n"}, vader_ratings.INNER, "tweets_GroundTruth.txt:1: "),
        ({"tweets": FILES["tweets"]}, vader_ratings.INNER, "holds no amazonReviewSnippets_GroundTruth.txt"),
        ({**FILES, "tweets": "1\t1\t\xff\n"}, vader_ratings.INNER, "no whole .tar.gz"),
        (None, "", "no whole .tar.gz"),
    ],
)
def test_another_archive(
    files: dict[str, str] | None,
    inner: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "vader.tar.gz"
    if files is None:
        path.write_bytes(b"no archive")
    else:
        archive(path, files, inner)
    monkeypatch.setattr("sys.argv", ["x", "--archive", str(path), "--output_dir", str(tmp_path / "out")])
    assert vader_ratings.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and expected in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("keep", [0.3, 0.6])  # the last bytes hold no sentence
def test_a_damaged_archive(keep: float, tmp_path: Path) -> None:
    whole = archive(tmp_path / "vader.tar.gz", {name: 999 * line for name, line in FILES.items()}).read_bytes()
    cut = int(keep * len(whole))
    for number, damaged in enumerate((whole[:cut], whole[:cut] + bytes(64) + whole[cut + 64 :])):
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(damaged)
        with pytest.raises((RecordError, OSError)):
            vader_ratings.read_archive(path)


def test_without_pooch_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setattr("sys.argv", ["x", "--output_dir", str(tmp_path / "out")])
    assert vader_ratings.main() == 2
    assert "needs pooch; pip install pooch, or pass --archive" in capsys.readouterr().err
