"""A training run from files to a scored, saved model: train, save, evaluate, predict, card."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from accelerate.utils import broadcast_object_list
from transformers import AutoTokenizer, enable_full_determinism, set_seed
from transformers.trainer_utils import get_last_checkpoint

from .. import __version__
from ..checkpoints import check_model, check_whole, check_writable, last_whole, reading
from ..collator_d2e2s import DataCollatorForTripletExtraction
from ..configuration_d2e2s import D2E2SConfig, upgraded
from ..data_scripts.dataset_card import read_dataset_card
from ..data_scripts.files import write_text
from ..data_scripts.records import Record, read_records, write_records
from ..encoders import encoder_origin, fit_window, hub_name, resolve_encoder
from ..errors_d2e2s import UserError
from ..evaluation.calibration import PairDecisions, calibration_figures, fit_temperature, pair_decisions
from ..evaluation.results import RESULTS, ResultsError, choices_of, data_name, read_run
from ..evaluation.syntax import evaluate_parser, parser_dataset, read_trees, relation_labels
from ..evaluation.thresholds import to_triplets
from ..hub import keep_private
from ..modeling_d2e2s import D2E2SForTripletExtraction
from ..processing_d2e2s import D2E2SProcessor
from ..reporting.card import write_card
from .arguments import Arguments, DataArguments, TripletTrainingArguments
from .costs import Costs, PeekAtTest
from .distributed import check_shared
from .trainer import EarlyStopping, TripletTrainer

logger = logging.getLogger("d2e2s")

Figures = dict[str, Any]


def run(arguments: Arguments) -> Figures:
    """Do what the arguments ask for.

    Writes the model, its processor, `all_results.json`, `predictions_dev.jsonl`, `predictions_test.jsonl` and the
    model card to `output_dir`.

    Returns:
        What `all_results.json` holds.

    Raises:
        ValueError: arguments, data or a checkpoint that do not fit.
        OSError: a file that is missing or cannot be written.
    """
    _log_to_stderr(arguments)
    training = arguments.training
    splits, further = _load_splits_and_further(arguments)
    trees = _load_trees(arguments)
    last_checkpoint = _find_checkpoint(arguments)
    if training.should_save:
        keep_private(arguments.output_dir)
    (enable_full_determinism if training.full_determinism else set_seed)(training.seed)
    model, processor = build_model(arguments, splits.get("train", []) + trees["train"])
    _check_parser(arguments, model)
    for name, records in splits.items():
        _warn_unreachable(name, records, model.config.max_span_width)
        _warn_contradictory(name, records)
    tokenized = _tokenize_splits(arguments, processor, splits)
    figures = _describe(arguments, model, splits)
    if further:
        figures["further_train_sentences"] = len(further)
        files = arguments.data.further_train_file or []
        figures["further_data_cards"] = [read_dataset_card(Path(file).parent) for file in files]
    if trees["train"]:
        tokenized["train"] = _with_trees(arguments, processor, tokenized["train"], trees["train"])
        figures["parser_train_sentences"] = len(tokenized["train"]) - figures["train_sentences"]
    trainer = _build_trainer(arguments, model, processor, tokenized)

    if training.do_train:
        if training.overwrite_output_dir and last_checkpoint is None:
            _clear_checkpoints(trainer)
        trainer.add_callback(costs := Costs())
        figures |= trainer.train(resume_from_checkpoint=last_checkpoint).metrics | costs.figures(training.device)
        if trainer.is_world_process_zero():
            for path in arguments.output_dir.glob("predictions_*.jsonl"):  # those of the model that was there before
                path.unlink()
        trainer.save_model()
        trainer.save_state()
    elif not arguments.makes_model and not training.choose_threshold:
        # A threshold chosen on what is scored would flatter the checkpoint.
        trainer.threshold = model.config.decision_threshold
    if "dev" in splits:
        figures |= _evaluate(trainer, tokenized["dev"], splits["dev"], calibrate=arguments.makes_model)
        if arguments.makes_model:
            trainer.save_model()  # once more, if it was trained, now with what dev decided
    trainer.threshold = figures["decision_threshold"] = model.config.decision_threshold
    if training.do_predict:
        figures |= _predict(trainer, tokenized["test"], splits["test"], arguments.data.show_predictions)
    figures |= _score_syntax(trainer, processor, splits, tokenized, trees["test"])
    if trainer.is_world_process_zero():
        _write_json(arguments.output_dir / RESULTS, figures)
        if arguments.makes_model:
            write_card(arguments.output_dir, trainer.hub_model_id or training.hub_model_id)
    if arguments.makes_model and training.push_to_hub:
        trainer.push_to_hub()  # once more, now with the figures, the predictions and the card
    return figures


def build_model(
    arguments: Arguments, train_records: Sequence[Record]
) -> tuple[D2E2SForTripletExtraction, D2E2SProcessor]:
    """A new model on an encoder, the model of a checkpoint, or one of several; float32, whatever they were saved in.

    Args:
        arguments: fields of the configuration that they name override the defaults or the checkpoint's.
        train_records: their universal dependency relations become the labels of a new model's relation head.

    Raises:
        ValueError: a field that is wrong; or, unless the run trains, overrides that the checkpoint has no weights for.
        OSError: there is no such encoder or checkpoint.
    """
    overrides = arguments.config_overrides()
    if arguments.model.model_name_or_path is not None:
        path = arguments.model.model_name_or_path
        model = _load_checkpoint(path, overrides, arguments.training.do_train)
        return model, fit_window(D2E2SProcessor.from_pretrained(path), model.d2e2s.encoder)
    if arguments.model.ensemble_of is not None:
        return load_ensemble(arguments.model.ensemble_of)
    encoder = resolve_encoder(str(arguments.model.encoder_name_or_path))
    overrides["deprel_labels"] = relation_labels(train_records)
    with reading(encoder):
        model = D2E2SForTripletExtraction.from_encoder(encoder, **overrides)
    processor = D2E2SProcessor(
        AutoTokenizer.from_pretrained(encoder),
        deprel_labels=model.config.deprel_labels,
        sentiment_labels=model.config.sentiment_labels,
        word_splitter=arguments.model.word_splitter or "penn",
    )
    return model, fit_window(processor, model.d2e2s.encoder)


def load_ensemble(paths: Sequence[str]) -> tuple[D2E2SForTripletExtraction, D2E2SProcessor]:
    """One model of several checkpoints, whose mean decides.

    Raises:
        ValueError: checkpoints that differ in more than their weights.
    """
    models = [_load_checkpoint(path, {}, may_start_anew=False) for path in paths]
    processors: list[Any] = [D2E2SProcessor.from_pretrained(path) for path in paths]
    for path, other in zip(paths[1:], processors[1:], strict=True):
        if _reads_words(other) != _reads_words(processors[0]):
            raise UserError(f"{path} and {paths[0]} split words or pieces differently: they make no ensemble")
    try:
        return D2E2SForTripletExtraction.ensemble_of(models), processors[0]
    except ValueError as error:
        raise UserError(f"--ensemble_of {' '.join(paths)}: {error}") from None


def _reads_words(processor: D2E2SProcessor) -> dict[str, Any]:
    """All that decides what a model sees of a sentence."""
    pieces = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    for setting in ("truncation", "padding"):  # what the last call asked for
        pieces.pop(setting, None)
    return {"pieces": pieces, "words": processor.word_splitter, "window": processor.window}


def _load_checkpoint(path: str, overrides: dict[str, Any], may_start_anew: bool) -> D2E2SForTripletExtraction:
    """The model of a checkpoint; weights that do not fit its configuration are refused, or named if it is trained."""
    check_model(path)
    with reading(path):
        fields = upgraded(D2E2SConfig.get_config_dict(path)[0])
    if fields.get("model_type") != D2E2SConfig.model_type:
        raise UserError(f"{path}: no D2E2S checkpoint; an encoder goes to --encoder_name_or_path")
    if may_start_anew and fields.get("others"):
        raise UserError(f"{path}: an ensemble is not trained as one; train its models, each by itself")
    report = logging.getLogger("transformers.modeling_utils")
    disabled, report.disabled = report.disabled, True  # a table of what one line says below
    options: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True, "ignore_mismatched_sizes": True}
    try:
        with reading(path):
            loaded: Any = D2E2SForTripletExtraction.from_pretrained(
                path, output_loading_info=True, **options, **overrides
            )
    finally:
        report.disabled = disabled
    model, info = loaded
    divided = sorted({*overrides} & {name for differences in model.config.others for name in differences})
    if divided:
        raise UserError(f"{path}: its models differ in {', '.join(divided)}, which cannot be set for all of them")
    problems = {
        "missing": info["missing_keys"],
        "of another size": [key for key, *_ in info["mismatched_keys"]],
        "not used": info["unexpected_keys"],
    }
    if not any(problems.values()):
        return model
    found = "; ".join(f"{what}: {_some(keys)}" for what, keys in problems.items() if keys)
    if not may_start_anew:
        names = ", ".join(f"--{name}" for name in overrides) or "the checkpoint's own configuration"
        raise UserError(f"{path}: weights do not fit the model asked for ({names}); {found}; --do_train trains them")
    logger.warning("%s: what is missing or of another size starts anew (%s)", path, found)
    return model


def _some(keys: Iterable[str], shown: int = 4) -> str:
    """The first few keys, and how many more there are."""
    names = sorted(keys)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def unreachable(records: Sequence[Record], max_span_width: int) -> int:
    """Gold triplets with an aspect or opinion of more than `max_span_width` words."""
    return sum(
        any(end - start > max_span_width for start, end in (triplet["aspect"], triplet["opinion"]))
        for record in records
        for triplet in record["triplets"]
    )


def _log_to_stderr(arguments: Arguments) -> None:
    training = arguments.training
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logger.setLevel(logging.INFO if training.process_index == 0 else logging.ERROR)
    if training.disable_tqdm:
        datasets.disable_progress_bars()


def _find_checkpoint(arguments: Arguments) -> str | None:
    """Make the output folder, and find the checkpoint to go on from, if one was asked for.

    Process 0 looks for all, so that all take the same path afterwards.

    Raises:
        ValueError: no checkpoint to resume from; checkpoints of another run that would be mixed up with ours; or a
            model whose place ours would take.
        OSError: the folder cannot be written to, or is not the same on all machines.
    """
    training = arguments.training
    folder = arguments.output_dir
    if training.should_save:
        check_writable(folder)
    if arguments.model.ensemble_of is not None and training.should_save:
        _check_vacant(arguments)
    if not training.do_train:
        return None
    check_shared(folder)
    return broadcast_object_list([_chosen_checkpoint(arguments) if training.process_index == 0 else None])[0]


def _chosen_checkpoint(arguments: Arguments) -> str | None:
    training, folder = arguments.training, arguments.output_dir
    wanted = training.resume_from_checkpoint
    if wanted is not None and wanted.lower() not in ("true", "false"):
        _check_checkpoint(wanted)
        if Path(wanted).resolve().parent != folder.resolve():
            _check_vacant(arguments)
        return wanted
    if wanted is not None and wanted.lower() == "true":
        found = last_whole(folder)
        if found is None:
            raise UserError(f"{folder}: --resume_from_checkpoint true, but there is no checkpoint to resume from")
        logger.info("going on from %s", found)
        return found
    _check_vacant(arguments)
    return None


def _check_vacant(arguments: Arguments) -> None:
    folder = arguments.output_dir
    if arguments.training.overwrite_output_dir:
        return
    if get_last_checkpoint(str(folder)) is not None:
        raise UserError(
            f"{folder} holds checkpoints of an earlier run: go on with it (--resume_from_checkpoint true), "
            "start again (--overwrite_output_dir), or give another --output_dir"
        )
    if any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds a model: put another in its place (--overwrite_output_dir), or give another --output_dir"
        )


def _check_checkpoint(path: str) -> None:
    if not Path(path, "trainer_state.json").is_file():
        raise FileNotFoundError(f"{path}: --resume_from_checkpoint names no checkpoint of a run")
    check_whole(Path(path))


def _clear_checkpoints(trainer: TripletTrainer) -> None:
    """Delete the checkpoints of an earlier run; every process calls this, one deletes while the others wait."""
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        for checkpoint in Path(str(trainer.args.output_dir)).glob("checkpoint-[0-9]*"):
            shutil.rmtree(checkpoint)
    trainer.accelerator.wait_for_everyone()


def _load_splits_and_further(arguments: Arguments) -> tuple[dict[str, list[Record]], list[Record]]:
    """The splits, train without held-out sentences and with those of further data; and these."""
    splits = _load_splits(arguments)
    further = _load_further(arguments.data, _load_held_out(arguments.data, splits))
    splits.get("train", []).extend(further)
    return splits, further


def _load_splits(arguments: Arguments) -> dict[str, list[Record]]:
    """Records of the splits that the run needs: `train`, `dev`, `test`."""
    training, data = arguments.training, arguments.data
    wanted = {
        "train": (training.do_train, data.train_file),
        "dev": (arguments.makes_model or training.do_eval, data.validation_file),
        "test": (training.do_predict, data.test_file),
    }
    return {name: _load_records(path) for name, (needed, path) in wanted.items() if needed and path is not None}


def _load_held_out(data: DataArguments, splits: dict[str, list[Record]]) -> set[str]:
    """The sentences of `--held_out_file`, which leave the train split."""
    held_out = {_letters(record) for path in data.held_out_file or [] for record in _load_records(path)}
    if held_out:
        records = splits["train"]
        splits["train"] = [record for record in records if _letters(record) not in held_out]
        new = len(splits["train"])
        if not new:
            raise UserError(f"--held_out_file leaves no sentence of {data.train_file} to train on")
        logger.info("%s: %d sentences to train on, %d left out: held out", data.train_file, new, len(records) - new)
    return held_out


def _load_further(data: DataArguments, held_out: set[str]) -> list[Record]:
    """Records of `--further_train_file`, each sentence once and none that is held out or in another file of the run.

    Spaces and capitals do not count: other data may have split the same review in another way.
    """
    files = (data.train_file, data.validation_file, data.test_file) if data.further_train_file else ()
    seen = held_out | {_letters(record) for path in files if path is not None for record in _load_records(path)}
    kept: list[Record] = []
    for path in data.further_train_file or []:
        records, before = _load_records(path), len(kept)
        for record in records:
            if (letters := _letters(record)) not in seen:
                seen.add(letters)
                kept.append(record)
        new = len(kept) - before
        logger.info("%s: %d sentences to train on, %d left out: seen elsewhere", path, new, len(records) - new)
    return kept


def _letters(record: Record) -> str:
    return "".join(record["tokens"]).casefold()


def _load_trees(arguments: Arguments) -> dict[str, list[Record]]:
    """Records that serve the parser only, to train it (`train`) and to score it (`test`)."""
    data = arguments.data
    files = {"train": data.parser_file or [], "test": [data.parser_test_file] if data.parser_test_file else []}
    return {name: [record for path in paths for record in read_trees(path)] for name, paths in files.items()}


def _check_parser(arguments: Arguments, model: D2E2SForTripletExtraction) -> None:
    """Whether the model has a parser, if there are sentences for it."""
    config, data = model.config, arguments.data
    if data.parser_file and not config.parser_loss_weight:
        raise UserError("--parser_file trains the parser, but --parser_loss_weight 0 switches that off")
    if (data.parser_file or data.parser_test_file) and (config.needs_heads or not config.uses_parser):
        raise UserError(
            f"--parser_file and --parser_test_file are for the built-in parser, but with syntax={config.syntax!r}, "
            f"syntactic_gcn={config.syntactic_gcn!r}, fusion_type={config.fusion_type!r} the model has none"
        )


def _load_records(path: str) -> list[Record]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    records = read_records(path)
    if not records:
        raise UserError(f"{path}: no records; expected at least one")
    return records


def _warn_unreachable(name: str, records: Sequence[Record], max_span_width: int) -> None:
    count, total = unreachable(records, max_span_width), sum(len(record["triplets"]) for record in records)
    if count:
        logger.warning(
            "%s: %d of %d triplets have a span of more than %d words: they cannot be predicted and count as misses "
            "(--max_span_width)",
            name,
            count,
            total,
            max_span_width,
        )


def contradictory(records: Sequence[Record]) -> list[str]:
    """Ids of the records in which one aspect and opinion have two sentiments."""
    found = []
    for record in records:
        sentiments = {(*triplet["aspect"], *triplet["opinion"], triplet["sentiment"]) for triplet in record["triplets"]}
        if len({pair[:4] for pair in sentiments}) < len(sentiments):
            found.append(record["id"])
    return found


def _warn_contradictory(name: str, records: Sequence[Record]) -> None:
    if ids := contradictory(records):
        logger.warning(
            "%s: %d sentences give one aspect and opinion two sentiments, of which the model learns and finds one: %s",
            name,
            len(ids),
            _some(ids),
        )


def _tokenize(processor: D2E2SProcessor, records: Sequence[Record], name: str) -> datasets.Dataset:
    """Model inputs of the records, one row each, made once; `length` groups the batches, `id` is for errors."""
    columns = {key: [record.get(key) for record in records] for key in ("tokens", "heads", "deprels", "triplets")}
    try:
        features = processor.tokenize_records(columns)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
    lengths = [len(ids) for ids in features["input_ids"]]
    return datasets.Dataset.from_dict({**features, "id": [record["id"] for record in records], "length": lengths})


def _tokenize_splits(
    arguments: Arguments, processor: D2E2SProcessor, splits: dict[str, list[Record]]
) -> dict[str, datasets.Dataset]:
    with arguments.training.main_process_first(desc="tokenising"):
        return {name: _tokenize(processor, records, name) for name, records in splits.items()}


def _with_trees(
    arguments: Arguments, processor: D2E2SProcessor, dataset: datasets.Dataset, trees: Sequence[Record]
) -> datasets.Dataset:
    """The training set with the sentences for the parser."""
    with arguments.training.main_process_first(desc="tokenising"):
        return datasets.concatenate_datasets([dataset, parser_dataset(processor, trees, dataset.features)])


def _build_trainer(
    arguments: Arguments,
    model: D2E2SForTripletExtraction,
    processor: D2E2SProcessor,
    tokenized: dict[str, datasets.Dataset],
) -> TripletTrainer:
    training = arguments.training
    trainer = TripletTrainer(
        model=model,
        args=training,
        data_collator=DataCollatorForTripletExtraction(processor, allow_unlabelled=bool(arguments.data.parser_file)),
        train_dataset=tokenized.get("train"),
        eval_dataset=tokenized.get("dev"),
        processing_class=processor,
    )
    if training.early_stopping_patience is not None:
        trainer.add_callback(EarlyStopping(training.early_stopping_patience))
    if training.peek_at_test:
        trainer.add_callback(PeekAtTest(trainer, tokenized["test"]))
    return trainer


def _device_name(device: torch.device) -> str:
    """The GPU's own name where it has one: its kind alone says little about seconds and memory."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _describe(arguments: Arguments, model: D2E2SForTripletExtraction, splits: dict[str, list[Record]]) -> Figures:
    """What the figures depend on."""
    training, data = arguments.training, arguments.data
    file = str(data.train_file or data.validation_file or data.test_file)
    figures: Figures = {
        "seed": _seed(arguments),
        **_origin(arguments),
        "data_card": read_dataset_card(Path(file).parent),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "encoder_parameters": sum(
            parameter.numel() for member in model.members for parameter in member.d2e2s.encoder.parameters()
        ),
        "device": _device_name(training.device),
        "processes": training.world_size,
        "versions": {
            "d2e2s": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "datasets": datasets.__version__,
        },
        "arguments": {
            "model": vars(arguments.model),
            "config": choices_of(model.config),
            "data": vars(arguments.data),
            "training": {**training.to_dict(), **_precision(training)},
        },
    }
    if model.config.others:
        figures["ensemble_size"] = model.config.ensemble_size
    for name, records in splits.items():
        figures[f"{name}_sentences"] = len(records)
        figures[f"{name}_triplets"] = sum(len(record["triplets"]) for record in records)
        figures[f"{name}_unreachable_triplets"] = unreachable(records, model.config.max_span_width)
    return figures


def _precision(training: TripletTrainingArguments) -> Figures:
    """What is trained in, whether the run's arguments say so or those of `accelerate launch`."""
    return {name: training.mixed_precision == name for name in ("bf16", "fp16")}


def _origin(arguments: Arguments) -> Figures:
    """The encoder, and what it, or a checkpoint in a folder that training goes on from, was trained on before."""
    if arguments.model.ensemble_of is not None:
        return _ensemble_origin(arguments.model.ensemble_of)
    start = str(arguments.model.encoder_name_or_path or arguments.model.model_name_or_path)
    if arguments.model.encoder_name_or_path is not None:
        return encoder_origin(start)
    if not arguments.training.do_train:
        return {"encoder": start, "base_model": hub_name(start)}
    return _checkpoint_origin(start)


def _ensemble_origin(paths: Sequence[str]) -> Figures:
    """Where the first model started from, and what any of them was trained on, each thing once."""
    origins = [_checkpoint_origin(path) for path in paths]
    histories = [origin.get("earlier_training", []) for origin in origins]
    steps: list[Figures] = []
    for history in sorted(histories, key=len, reverse=True):  # what only some began with stands first
        steps = [step for step in history if step not in steps] + steps
    first = {key: origins[0][key] for key in ("encoder", "base_model")}
    return {**first, "earlier_training": steps}


def _checkpoint_origin(start: str) -> Figures:
    """The encoder of a checkpoint, and what it was trained on, the last time included."""
    plain = {"encoder": start, "base_model": hub_name(start)}
    if not Path(start).is_dir():
        return plain
    try:
        before = read_run(Path(start))
    except ResultsError as error:
        logger.warning("what the checkpoint was trained on is not known: %s", error)
        return plain
    if "train_sentences" not in before:  # a run that only scored the checkpoint has put its own figures there
        return plain
    licences = [card.get("licence") for card in (before["data_card"], *before.get("further_data_cards", []))]
    earlier = {
        "data": data_name(before),
        "sentences": before["train_sentences"],
        "licences": sorted({licence or "not stated" for licence in licences}),
    }
    trained = [*before.get("earlier_training", []), earlier]
    return {"encoder": before["encoder"], "base_model": before["base_model"], "earlier_training": trained}


def _seed(arguments: Arguments) -> int:
    """What the figures go by: the run's seed, or that of an ensemble's first model."""
    if arguments.model.ensemble_of is None:
        return arguments.training.seed
    try:
        return int(read_run(Path(arguments.model.ensemble_of[0]))["seed"])
    except ResultsError:
        return arguments.training.seed


def _evaluate(
    trainer: TripletTrainer, dataset: datasets.Dataset, records: Sequence[Record], calibrate: bool
) -> Figures:
    """Score dev, and let it decide what the model keeps: the temperature, of a new model, then the threshold.

    A threshold that the trainer was given stays.
    """
    model: Any = trainer.model
    model.to(trainer.args.device)  # where --bf16_full_eval has the Trainer put it when it predicts, no earlier
    config, decisions = model.config, pair_decisions(model, trainer.batches(dataset))
    if calibrate:
        config.temperature = fit_temperature(decisions)
    output: Any = trainer.predict(dataset, metric_key_prefix="eval")
    config.decision_threshold = output.metrics["eval_threshold"]
    trainer.log_metrics("eval", output.metrics)
    _write_predictions(trainer, records, output, "predictions_dev.jsonl")
    return {**output.metrics, **_calibration(trainer, decisions, "eval"), "temperature": config.temperature}


def _predict(trainer: TripletTrainer, dataset: datasets.Dataset, records: Sequence[Record], show: int) -> Figures:
    """Score test, once, at the temperature and the threshold that dev chose."""
    output: Any = trainer.predict(dataset, metric_key_prefix="test")
    trainer.log_metrics("test", output.metrics)
    predicted = _write_predictions(trainer, records, output, "predictions_test.jsonl")
    if trainer.is_world_process_zero():
        for record in predicted[:show]:
            print(format_prediction(record))
    decisions = pair_decisions(trainer.model, trainer.batches(dataset))
    return {**output.metrics, **_calibration(trainer, decisions, "test")}


def _calibration(trainer: TripletTrainer, decisions: Sequence[PairDecisions], prefix: str) -> Figures:
    config = trainer.model.config
    figures = calibration_figures(
        decisions, config.temperature, config.decision_threshold, config.max_triplets, config.allow_overlaps
    )
    return {f"{prefix}_{name}": value for name, value in figures.items()}


def _score_syntax(
    trainer: TripletTrainer,
    processor: D2E2SProcessor,
    splits: dict[str, list[Record]],
    tokenized: dict[str, datasets.Dataset],
    treebank: Sequence[Record],
) -> Figures:
    """How well the model parses, and what its triplets are worth on its own parses.

    Where dev or test has heads that the model would use, it is scored again with the heads hidden
    (`test_predicted_syntax_triplet_f1`), at the same threshold: the one chosen on dev with the heads given. The parser
    is scored on the heads of test (`test_parser_uas`) and of the treebank (`parser_test_uas`).
    """
    config = trainer.model.config
    figures: Figures = {}
    if config.needs_heads:
        return figures
    parsed = {prefix: split for prefix, split in (("eval", "dev"), ("test", "test")) if _has_trees(splits.get(split))}
    for prefix, split in parsed.items():
        if any(member.uses_parser and member.syntax == "auto" for member in config.members):
            figures |= _score_without_heads(trainer, tokenized[split], splits[split], prefix, split)
    if not config.uses_parser:
        return figures
    treebanks = {f"{prefix}_parser": splits[split] for prefix, split in parsed.items()}
    if treebank:
        treebanks["parser_test"] = list(treebank)
    size = trainer.args.per_device_eval_batch_size
    for prefix, records in treebanks.items():
        scores = evaluate_parser(trainer.model, processor, records, size)
        figures |= {f"{prefix}_{name}": value for name, value in scores.items()}
    return figures


def _has_trees(records: Sequence[Record] | None) -> bool:
    return bool(records) and all(record.get("heads") for record in records or ())


def _score_without_heads(
    trainer: TripletTrainer, dataset: datasets.Dataset, records: Sequence[Record], prefix: str, split: str
) -> Figures:
    prefix = f"{prefix}_predicted_syntax"
    output: Any = trainer.predict(dataset.remove_columns(["heads", "deprels"]), metric_key_prefix=prefix)
    trainer.log_metrics(prefix, output.metrics)
    _write_predictions(trainer, records, output, f"predictions_{split}_predicted_syntax.jsonl")
    return output.metrics


def _write_predictions(trainer: TripletTrainer, records: Sequence[Record], output: Any, name: str) -> list[Record]:
    """Each record with `predicted_triplets`, as JSONL in the order of the input."""
    config = trainer.model.config
    rows, scores = output.predictions
    predicted = [
        {**record, "predicted_triplets": _confident(triplets, values, config.decision_threshold)}
        for record, triplets, values in zip(records, to_triplets(rows, config.sentiment_labels), scores, strict=True)
    ]
    if trainer.is_world_process_zero():
        write_records(Path(str(trainer.args.output_dir)) / name, predicted)
    return predicted


def _confident(triplets: Sequence[tuple], scores: Sequence[float], threshold: float) -> list[dict[str, Any]]:
    """Triplets that reach the threshold, as in a record, with their score. Padding stands behind the triplets."""
    return [
        {"aspect": [a, b], "opinion": [c, d], "sentiment": sentiment, "score": float(score)}
        for (a, b, c, d, sentiment), score in zip(triplets, scores, strict=False)
        if score >= threshold
    ]


def format_prediction(record: Record) -> str:
    """A predicted record for people: the sentence, then one triplet a line."""
    tokens = record["tokens"]
    lines = [
        f"    {_words(tokens, triplet['aspect'])} | {_words(tokens, triplet['opinion'])} | "
        f"{triplet['sentiment']} ({triplet['score']:.2f})"
        for triplet in record["predicted_triplets"]
    ]
    return "\n".join([" ".join(tokens), *(lines or ["    (no triplet)"])])


def _words(tokens: Sequence[str], span: Sequence[int]) -> str:
    return " ".join(tokens[span[0] : span[1]])


def _write_json(path: Path, figures: Figures) -> None:
    """Unrounded; figures that are not finite become null, so that the file stays JSON."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}
    text = json.dumps(finite, indent=2, sort_keys=True, default=str) + "\n"
    write_text(path, text)
