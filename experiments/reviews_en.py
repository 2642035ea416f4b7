"""Make the model in the box, `reviews-en`, of nothing but data that may be given away.

    python -m experiments.reviews_en --output_dir outputs/reviews-en
    python -m experiments.reviews_en --encoder_name_or_path all-mpnet-base-v2 --output_dir outputs/reviews-en-base

DMASTE and ASTE Synthetic (MIT; downloaded once, or `--input` folders of them), the practice corpus and the sample
corpus (CC0, ours) make the training data. The base-size model learns them as they are. As they are annotated sparsely,
the small one learns what the base-size one, its teacher, finds in them beside the annotated triplets, and what it finds
in the product reviews of VADER (MIT; downloaded, or `--snippets`), which have none; the teacher is trained first,
unless `--teacher` names it. Some of the public sentences the small one reads a second time, as if typed in haste. The
small model has the mean weights of several that begin alike and read in different orders, which is better than each
(Wortsman et al. 2022). Calibration and threshold are chosen on `examples/gold.jsonl`, which lacks nothing.

`--pack FOLDER` writes the model there as the package holds it, with float16 weights.
"""

import argparse
import json
import random
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor, TripletTrainer, TripletTrainingArguments, build_model
from d2e2s.backends.cpu import multiplies_bfloat16
from d2e2s.checkpoints import load_checkpoint, seal, staged
from d2e2s.data_scripts import from_aste_text, make_practice_corpus
from d2e2s.data_scripts import join as joined
from d2e2s.data_scripts.annotations import parse_arguments
from d2e2s.data_scripts.aste_lines import ROLES
from d2e2s.data_scripts.converter import Converter, word_span
from d2e2s.data_scripts.documents import Document, Link, Report, Span
from d2e2s.data_scripts.files import write_json
from d2e2s.data_scripts.public_sets import download
from d2e2s.data_scripts.records import Record, read_records, write_records
from d2e2s.evaluation.results import RESULTS, read_run
from d2e2s.prediction.predict import load_pipeline
from d2e2s.words_d2e2s import WordSplitter, placed_words

ROOT = Path(__file__).resolve().parents[1]
SAMPLE, GOLD = ROOT / "data_scripts" / "sample_corpus", ROOT / "examples" / "gold.jsonl"
BASE, SMALL = "all-mpnet-base-v2", "all-MiniLM-L6-v2"
TRAINED = ("electronics", "home", "beauty", "fashion")  # domains of DMASTE
HELD_OUT = (*TRAINED, "book", "grocery", "pet", "toy")
# Encoder: its peak learning rate, that of the rest, and epochs.
RATES = {BASE: (5e-5, 3e-4, 1), SMALL: (1.5e-4, 5e-4, 4)}
TRIMMED = {
    *("very", "so", "really", "quite", "extremely", "super", "incredibly", "pretty", "absolutely", "truly", "totally"),
    *("rather", "such", "more", "most", "is", "are", "was", "were", "been", "be", "a", "an", "the"),
}
LEAST_SCORE = 0.15  # of what the teacher finds; what it is less sure of than that is mostly wrong
BFLOAT16 = torch.cuda.is_available() or multiplies_bfloat16()  # else float32 is faster
IN_HASTE = 0.2  # share of the public sentences that are read a second time, with slips
MAX_WORDS = 32  # longer texts are cut between sentences, as the pipeline does
STUDENTS = 2  # small models whose weights are averaged
LABEL, LICENCES = "DMASTE, ASTE Synthetic, VADER, own CC0 sentences", "mit, cc0-1.0"
PYPI = "https://files.pythonhosted.org/packages/77/8c/4a48c10a50f750ae565e341e697d74a38075a3e43ff0df6f1ab72e186902"
VADER, RATED = "vaderSentiment-3.3.2", "hutto_ICWSM_2014"
VADER_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"


# --- data -------------------------------------------------------------------------------------------------


def make_data(folder: Path, inputs: Sequence[Path]) -> Path:
    """The training data, in `folder/train`, of the public sets or of folders that hold them."""
    source = ["--input", *map(str, inputs)] if inputs else ["--name", "dmaste", "synthetic"]
    done(from_aste_text.main([*source, "--output_dir", str(folder), "--max_words", str(MAX_WORDS)]))
    done(make_practice_corpus.main(["--output_dir", str(folder / "practice")]))
    synthetic = next(path.name for path in folder.glob("*synthetic"))
    sources = [*(folder / name for name in (*TRAINED, synthetic)), SAMPLE, folder / "practice"]
    held_out = [folder / name for name in HELD_OUT]
    parts = ["--input", *map(str, sources), "--held_out", *map(str, held_out)]
    done(joined.main([*parts, "--output_dir", str(folder / "train")]))
    return folder / "train"


def snippets(archive: Path | None) -> list[Record]:
    """Sentences of product reviews that VADER (Hutto & Gilbert 2014) has rated, whose triplets nobody has annotated."""
    archive = archive or download("vader", f"{VADER}.tar.gz", PYPI, "pass --snippets", pin=VADER_SHA256)
    with tarfile.open(archive) as package:
        inner = package.extractfile(f"{VADER}/additional_resources/{RATED}.tar.gz")
        with tarfile.open(fileobj=inner) as collections:
            file: Any = collections.extractfile(f"{RATED}/amazonReviewSnippets_GroundTruth.txt")
            lines = file.read().decode("utf-8").splitlines()
    split, records = WordSplitter("penn"), list[Record]()
    for number, _, text in (line.split("\t") for line in lines):
        records.append({"id": f"vader-{number}", "tokens": [word.text for word in split(text)], "triplets": []})
    return [record for record in records if 0 < len(record["tokens"]) <= MAX_WORDS]


def done(code: int) -> None:
    if code:
        sys.exit(code)


def gold_sentences() -> list[Record]:
    """The sentences of the example reviews, with every triplet that stands in them."""
    to_records = Converter(parse_arguments("", ["--input", str(GOLD), "--output_dir", str(GOLD.parent)]), Report())
    records = list[Record]()
    for review in map(json.loads, GOLD.read_text(encoding="utf-8").splitlines()):
        spans, links = dict[str, Span](), list[Link]()
        for number, triplet in enumerate(review["triplets"]):
            for role in ROLES:
                spans[f"{role} {number}"] = Span(triplet[role]["start"], triplet[role]["end"], [role])
            links.append(Link(f"aspect {number}", f"opinion {number}", [triplet["sentiment"]]))
        records += to_records(Document(review["id"], str(GOLD), review["text"], spans, links))
    return records


def trimmed(record: Record) -> Record:
    """A record whose opinions do not begin with what only strengthens or joins them, as in ASTE-Data-V2."""
    triplets = []
    for triplet in record["triplets"]:
        start, end = triplet["opinion"]
        while end - start > 1 and record["tokens"][start].lower() in TRIMMED:
            start += 1
        triplets.append({**triplet, "opinion": [start, end]})
    return {**record, "triplets": triplets}


# --- what the teacher finds -------------------------------------------------------------------------------


def with_found(records: Sequence[Record], teacher: str) -> list[Record]:
    """The records with the triplets that a model finds in them beside their own; our own sentences as they are."""
    extract = load_pipeline(teacher, dtype="bfloat16" if BFLOAT16 else "float32")
    public = [record for record in records if is_public(record)]
    found = extract([record["tokens"] for record in public], threshold=LEAST_SCORE)
    more = {record["id"]: together(record, triplets) for record, triplets in zip(public, found, strict=True)}
    return [more.get(record["id"], record) for record in records]


def is_public(record: Record) -> bool:
    return not record["id"].startswith(("sample", "practice"))


def in_haste(records: Sequence[Record], seed: int) -> list[Record]:
    """Some of the public records with slips of the keyboard and of spelling, which our own sentences have already."""
    grammar, rng = make_practice_corpus.Grammar(seed), random.Random(seed)
    return [grammar.with_slips(record) for record in records if is_public(record) and rng.random() < IN_HASTE]


def together(record: Record, found: Sequence[dict[str, Any]]) -> Record:
    """A record with the found triplets, the surest first, that share no words with others of it in both terms."""
    words, triplets = placed_words(record["tokens"], record["id"]), list(record["triplets"])
    for one in sorted(found, key=lambda triplet: -triplet["score"]):
        spans = {role: list(word_span(words, one[role]["start"], one[role]["end"])) for role in ROLES}
        if not any(all(overlap(spans[role], other[role]) for role in ROLES) for other in triplets):
            triplets.append({**spans, "sentiment": one["sentiment"]})
    return {**record, "triplets": triplets}


def overlap(one: Sequence[int], other: Sequence[int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


# --- training ---------------------------------------------------------------------------------------------


def train(encoder: str, records: Sequence[Record], folder: Path, seed: int, data_seed: int | None = None) -> None:
    """Train on the records; the example reviews choose calibration and threshold."""
    set_seed(seed)
    model, processor = build_model(encoder, records, max_candidates=20)
    trainer = trainer_of(encoder, model, processor, records, folder, seed=seed, data_seed=data_seed)
    trainer.train(resume_from_checkpoint=any(folder.glob("checkpoint-*")))
    halve_f1(folder)


def trainer_of(
    encoder: str, model: Any, processor: Any, records: Sequence[Record], folder: Path, **seeds: Any
) -> TripletTrainer:
    rate, head_rate, epochs = RATES[encoder]
    arguments = TripletTrainingArguments(
        str(folder),
        learning_rate=rate,
        head_learning_rate=head_rate,
        num_train_epochs=epochs,
        eval_strategy="no",
        load_best_model_at_end=False,
        bf16=BFLOAT16,
        use_cpu=not torch.cuda.is_available(),
        data_label=LABEL,
        **seeds,
    )
    data = {"train_dataset": list(records), "eval_dataset": gold_sentences(), "processing_class": processor}
    return TripletTrainer(model, arguments, **data)


def train_students(records: Sequence[Record], folder: Path, seed: int) -> None:
    """Train small models that begin alike, each on its own slips and in its own order; their mean is the model."""
    students = [folder / f"student-{number}" for number in range(STUDENTS)]
    for number, student in enumerate(students, start=seed):
        train(SMALL, [*records, *in_haste(records, number)], student, seed, data_seed=number)
    model, processor = mean_of(students)
    trainer_of(SMALL, model, processor, records, folder, seed=seed).finish()
    halve_f1(folder)


def mean_of(folders: Sequence[Path]) -> tuple[D2E2SForTripletExtraction, D2E2SProcessor]:
    """The model whose weights are the mean of those of models that differ in nothing else."""
    models, processors = zip(*(load_checkpoint(str(folder), torch.float32) for folder in folders), strict=True)
    weights = [dict(model.named_parameters()) for model in models]
    with torch.no_grad():
        for name, weight in weights[0].items():
            weight.copy_(torch.stack([each[name] for each in weights]).mean(0))
    return models[0], processors[0]


def halve_f1(folder: Path) -> None:
    """Set the threshold to half of the best F1 on the example reviews.

    Of calibrated scores that is the one with the best F1 to be expected (Lipton et al. 2014), and it does not hang on
    single triplets, as the best one on so few reviews does.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    half = round(read_run(folder)["eval_triplet_f1"] / 2, 2)
    write_json(folder / "config.json", {**config, "decision_threshold": half})


def provenance(model: Path) -> dict[str, Any]:
    """What of the results of a run tells who trains the model further, and his card, where it comes from."""
    run = read_run(model)
    kept = {name: run[name] for name in ("seed", "encoder", "base_model", "data_label", "train_sentences")}
    told = {"config": run["arguments"]["config"], "data": {}, "training": {}}
    return {**kept, "data_card": {"licence": LICENCES, "language": "en"}, "arguments": told}


def pack(model: Path, folder: Path) -> None:
    """Write a model as the package holds it: float16 weights, which are float32 again in memory; no code."""
    network, processor = load_checkpoint(str(model), torch.float32)
    with staged(folder) as new:
        network.half().save_pretrained(str(new))
        processor.save_pretrained(str(new))
        for code in new.glob("*.py"):
            code.unlink()
        config = json.loads((new / "config.json").read_text(encoding="utf-8"))
        text = json.dumps({**config, "dtype": "float32"}, indent=2, ensure_ascii=False)
        (new / "config.json").write_text(text + "\n", encoding="utf-8")
        write_json(new / RESULTS, provenance(model))
        seal(new)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder_name_or_path", choices=[SMALL, BASE], default=SMALL)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument(
        "--input", nargs="+", type=Path, default=[], help="folders of the public sets, in place of downloads"
    )
    parser.add_argument("--snippets", type=Path, help=f"{VADER}.tar.gz, in place of a download")
    parser.add_argument("--teacher", help="base-size model, made by this command")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--pack", type=Path, help="also write the model to this folder, as the package holds it")
    options = parser.parse_args(argv)
    folder = options.output_dir
    data = make_data(folder / "data", options.input)
    records = [trimmed(record) for record in read_records(data / "train.jsonl")]
    if options.encoder_name_or_path == BASE:
        train(BASE, records, folder, options.seed)
    else:
        teacher = options.teacher or str(folder / "teacher")
        if not options.teacher:
            train(BASE, records, Path(teacher), options.seed)
        records = [trimmed(record) for record in with_found([*records, *snippets(options.snippets)], teacher)]
        write_records(data / "train.jsonl", records)
        train_students(records, folder, options.seed)
    if options.pack:
        pack(folder, options.pack)


if __name__ == "__main__":
    main()
