"""An encoder that tells good words from bad: it learns the ratings of texts before it learns triplets.

    python -m experiments.ratings reviews.csv --text_column review --rating_column stars --output_dir outputs/rated
    d2e2s train configs/14res.yaml --encoder_name_or_path outputs/rated

Stars, or any other number that says how good what a text speaks of is, cost no annotation, and a thousand annotated
sentences have few that complain. The encoder's word pieces are averaged (Reimers & Gurevych 2019) and a linear layer,
which is then thrown away, predicts the rating, by least squares: so what is good or bad must stand in the words' own
features, where triplets are read from.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    HfArgumentParser,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

from d2e2s.checkpoints import check_writable, reading
from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.dataset_card import read_dataset_card
from d2e2s.data_scripts.files import write_json
from d2e2s.encoders import EARLIER_TRAINING, encoder_origin, positions, resolve_encoder
from d2e2s.errors_d2e2s import UserError
from d2e2s.prediction.tables import check_column, is_blank, read_table

logger = logging.getLogger("d2e2s")

HELD_OUT = 0.05  # share of the texts that the encoder does not learn from, but is measured on
FEWEST = 200  # texts, so that ten are held out


@dataclass
class RatingArguments(TrainingArguments):
    """What to learn from, and how: `TrainingArguments` with other defaults, and the texts."""

    output_dir: str = field(default="outputs/rated", metadata={"help": "For the encoder, its tokenizer, ratings.json."})
    files: list[str] = field(
        default_factory=list, metadata={"help": "Rated texts: .jsonl, .csv, .tsv or .parquet; several are one set."}
    )
    encoder_name_or_path: str = field(
        default="all-MiniLM-L6-v2", metadata={"help": "Pretrained encoder: a Hub name, a folder, or the embedded one."}
    )
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    rating_column: str = field(default="rating", metadata={"help": "Column of the ratings: numbers, more is better."})
    dataset_name: str | None = field(default=None, metadata={"help": "What to call the texts in model cards."})
    max_length: int = field(default=128, metadata={"help": "Word pieces of a text that are read; the rest is not."})
    learning_rate: float = field(default=1e-4, metadata={"help": "Smaller for larger encoders."})
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Texts per step and device."})
    per_device_eval_batch_size: int = 64
    warmup_steps: float = 0.1
    weight_decay: float = 0.01
    optim: str = "adamw_torch_fused"
    train_sampling_strategy: str = "group_by_length"
    save_strategy: str = "no"
    logging_steps: float = 50
    report_to: str = "none"
    dataloader_pin_memory: bool = torch.cuda.is_available()


IN_RATINGS_JSON = (
    *("files", "text_column", "rating_column", "max_length", "num_train_epochs", "learning_rate"),
    *("per_device_train_batch_size", "bf16", "seed"),
)


class RatingModel(nn.Module):
    """Rating of a text from the mean of its word pieces: `(B, T)` to `(B,)`, in standard deviations from the mean."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.score = nn.Linear(encoder.config.hidden_size, 1)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        pieces = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        mask = attention_mask[..., None].to(pieces.dtype)
        scores = self.score((pieces * mask).sum(1) / mask.sum(1))[:, 0].float()
        return {"loss": nn.functional.mse_loss(scores, labels.float()), "logits": scores}


def main(argv: Sequence[str] | None = None) -> int:
    """Learn from the files that are named first; errors of input or output are one line on stderr and exit code 2."""
    parser = HfArgumentParser(RatingArguments, prog="experiments.ratings", allow_abbrev=False)  # type: ignore[arg-type]
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-"):
        words.insert(0, "--files")

    def run() -> None:
        figures = learn_ratings(parser.parse_args_into_dataclasses(words)[0])
        found = "none, they are alike" if figures["correlation"] is None else f"{figures['correlation']:.3f}"
        print(f"correlation with the ratings of {figures['held_out']} other texts: {found}")

    return exit_code(run)


def learn_ratings(arguments: RatingArguments) -> dict[str, Any]:
    """Train the encoder; write it, its tokenizer and `ratings.json` to `output_dir`.

    Returns:
        What `ratings.json` holds: the encoder and what it learned before, the data, how many texts, Pearson's
        correlation of the predicted with the true ratings of the held-out ones (None if those are all alike), and the
        seconds of training.

    Raises:
        ValueError: texts or ratings that cannot be read, or too few; another model in `output_dir`; or a loss that is
            not finite.
        OSError: a file or an encoder that is missing, or a folder that cannot be written to.
    """
    texts, ratings = read_ratings(arguments.files, arguments.text_column, arguments.rating_column)
    folder = Path(arguments.output_dir)
    if (folder / "config.json").exists() and not (folder / EARLIER_TRAINING).exists():
        raise UserError(f"{folder}: holds another model already; give another --output_dir")
    check_writable(folder)
    set_seed(arguments.seed)
    origin = encoder_origin(arguments.encoder_name_or_path)
    name = resolve_encoder(arguments.encoder_name_or_path)
    with reading(name):
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = RatingModel(AutoModel.from_pretrained(name, dtype=torch.float32))
    limits = (arguments.max_length, tokenizer.model_max_length, positions(model.encoder))
    window = min(limit for limit in limits if limit is not None)
    data = tokenized(tokenizer, texts, standardised(ratings), window)
    parts = data.train_test_split(HELD_OUT, seed=arguments.seed)
    trainer = Trainer(
        model,
        arguments,
        DataCollatorWithPadding(tokenizer),
        train_dataset=parts["train"],
        eval_dataset=parts["test"],
        compute_metrics=correlation,
    )
    seconds = trainer.train().metrics["train_runtime"]
    measured = trainer.evaluate()
    if not np.isfinite(measured["eval_loss"]):
        raise UserError(f"loss is {measured['eval_loss']}: lower --learning_rate; nothing is written")
    found = measured["eval_correlation"]
    figures = {
        **origin,
        "data": arguments.dataset_name or ", ".join(Path(file).stem for file in arguments.files),
        "licences": licences(arguments.files),
        "texts": len(parts["train"]),
        "held_out": len(parts["test"]),
        "correlation": found if np.isfinite(found) else None,
        "seconds": seconds,
        "arguments": {name: getattr(arguments, name) for name in IN_RATINGS_JSON},
    }
    if trainer.is_world_process_zero():
        model.encoder.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / EARLIER_TRAINING, figures, indent=1)
    return figures


def read_ratings(files: Sequence[str], text_column: str, rating_column: str) -> tuple[list[str], list[float]]:
    """The texts of files and their ratings; texts without words are left out.

    Raises:
        ValueError: a column that is missing, a row without text or with a rating that is no number; or fewer than
            `FEWEST` texts, or all rated alike.
        FileNotFoundError: no such file.
    """
    texts: list[str] = []
    ratings: list[float] = []
    for file in files:
        table = read_table(file)
        check_column(table, text_column, "--text_column")
        check_column(table, rating_column, "--rating_column")
        row = 0
        for batch, some in table.texts(text_column):
            for text, value in zip(some, batch[rating_column], strict=True):
                row += 1
                rating = as_number(value, f"{file}: row {row}: {rating_column}")
                if not is_blank(text):
                    texts.append(text if isinstance(text, str) else " ".join(text))
                    ratings.append(rating)
    if len(texts) < FEWEST:
        raise UserError(f"{', '.join(files)}: {len(texts)} rated texts are too few to learn from; at least {FEWEST}")
    if len(set(ratings)) == 1:
        raise UserError(f"{', '.join(files)}: all texts are rated {ratings[0]:g}: nothing to learn")
    return texts, ratings


def as_number(value: Any, where: str) -> float:
    """A rating as a finite number; text of CSV is read as one."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise UserError(f"{where} is {value!r}; expected a number")
    return number


def standardised(ratings: Sequence[float]) -> list[float]:
    """Ratings with mean 0 and standard deviation 1: one learning rate for stars and for percent."""
    values = np.asarray(ratings)
    return ((values - values.mean()) / values.std()).tolist()


def tokenized(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], ratings: Sequence[float], max_length: int
) -> Dataset:
    """Inputs, lengths (in word pieces) and labels; says how many texts are cut off."""
    inputs = tokenizer(list(texts), truncation=True, max_length=max_length)
    encodings = inputs.encodings or []
    long = sum(bool(encoding.overflowing) for encoding in encodings)
    if long:
        logger.warning("%d of %d texts are read to word piece %d only (--max_length)", long, len(texts), max_length)
    lengths = [len(encoding) for encoding in encodings]
    return Dataset.from_dict({**inputs, "length": lengths, "labels": list(ratings)})


def correlation(prediction: EvalPrediction) -> dict[str, float]:
    """Pearson's correlation of predicted and true ratings; NaN if either are all alike."""
    if not (np.std(prediction.predictions) and np.std(prediction.label_ids)):
        return {"correlation": float("nan")}
    return {"correlation": float(np.corrcoef(prediction.predictions, prediction.label_ids)[0, 1])}


def licences(files: Sequence[str]) -> list[str]:
    """What the data's cards say about licences."""
    return sorted({read_dataset_card(Path(file).parent).get("licence") or "not stated" for file in files})
