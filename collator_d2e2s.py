"""Batches for training: records, or the features that a processor has made of them, to padded tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors_d2e2s import UserError
from .inputs_d2e2s import D2E2SInputs


@dataclass
class DataCollatorForTripletExtraction:
    """Makes the model's inputs from records, or from features of `encode_record` or `tokenize_records`.

    Records and features may be mixed, and fields that are None count as absent. See `D2E2SInputs` for the
    keys; `words` is set if every record or feature still has its `tokens`.

    Args:
        processor: the processor of the model.
        pad_to_multiple_of: T is rounded up to a multiple of this.
        return_labels: False leaves out `labels`, for prediction.
        allow_unlabelled: some records may have no triplets: they are not known, and train the parser only.

    Raises:
        UserError: for malformed records, and if only some have triplets, unless `allow_unlabelled`.
    """

    processor: Any  # a D2E2SProcessor; it imports this file, which so travels with it
    pad_to_multiple_of: int | None = None
    return_labels: bool = True
    allow_unlabelled: bool = False

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> D2E2SInputs:
        raw = [feature for feature in features if "input_ids" not in feature]
        if any("tokens" not in feature for feature in raw):
            raise UserError(
                f"a batch without tokens and input_ids, but with {', '.join(raw[0]) or 'nothing'}: set "
                "remove_unused_columns=False in the TrainingArguments, or train with TripletTrainer"
            )
        made = iter(self.processor.encode_records(raw) if raw else ())
        encoded = [feature if "input_ids" in feature else next(made) for feature in features]
        if not self.return_labels:
            encoded = [{**feature, "labels": None} for feature in encoded]
        known = all("tokens" in feature for feature in features)
        words = [feature["tokens"] for feature in features] if known else None
        unlabelled = self.allow_unlabelled and self.return_labels
        return self.processor.pad(encoded, words, self.pad_to_multiple_of, unlabelled)
