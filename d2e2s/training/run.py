"""A run from arguments to a scored, saved model: load, train, save, evaluate, predict, card."""

import logging
from collections.abc import Sequence
from pathlib import Path

import datasets
from transformers import enable_full_determinism, set_seed
from transformers.trainer_utils import IntervalStrategy

from ..checkpoints import check_writable, keep_private
from ..configuration_d2e2s import D2E2SConfig
from ..data_scripts.records import Record, read_records
from ..errors_d2e2s import UserError
from ..evaluation.results import predictions_file
from .arguments import Arguments
from .data import SPLITS, load_splits, read_file, read_trees, records_of, trees_that_fit, warn_of_faults
from .models import Model, build_model, continue_from, join
from .output_folder import check_vacant, find_checkpoint
from .record import Figures, Told
from .scoring import calibrate, chosen_on_dev, format_prediction, score, score_syntax
from .trainer import TripletTrainer

logger = logging.getLogger("d2e2s")

Splits = dict[str, list[Record]]


def run(arguments: Arguments) -> Figures:
    """Do what the arguments ask for.

    Writes the model, its processor, `all_results.json`, `predictions_dev.jsonl`, `predictions_test.jsonl` and the
    model card to `output_dir`.

    Returns:
        What `all_results.json` holds.

    Raises:
        UserError: arguments, data or a checkpoint that do not fit.
        OSError: a file that is missing or cannot be written.
    """
    training = arguments.training
    _log_to_stderr(arguments)
    splits = load_records(arguments)
    treebank = read_trees(arguments.data.parser_test_file) if arguments.data.parser_test_file else []
    checkpoint = _prepare_folder(arguments)
    (enable_full_determinism if training.full_determinism else set_seed)(training.seed)
    trainer = build_trainer(arguments, splits)
    if training.do_train:
        trainer.train(checkpoint)
    elif arguments.makes_model:
        trainer.finish()
    else:
        trainer.describe()
        dev = trainer.records.get("dev")  # a threshold chosen on what is scored flatters it: only if asked for
        if "dev" in splits and training.choose_threshold:
            trainer.figures |= calibrate(trainer, dev, anew=False)
        elif "dev" in splits:
            trainer.figures |= score(trainer, trainer.eval_dataset, dev, "eval", "dev")
    trainer.figures |= chosen_on_dev(trainer.model.config)
    if training.do_predict:
        trainer.figures |= _score_test(trainer, splits["test"], arguments.data.show_predictions)
    trainer.figures |= score_syntax(trainer, treebank)
    trainer.record({}, card=arguments.makes_model)
    if arguments.makes_model and training.push_to_hub:
        trainer.push_to_hub()
    return trainer.figures


def load_records(arguments: Arguments) -> Splits:
    """Records of the splits that the run needs: `train`, with what trains the parser only, `dev` and `test`.

    Raises:
        UserError, OSError: data that is missing, or is no records; the place is said.
    """
    training, data = arguments.training, arguments.data
    needed = {"train": training.do_train, "dev": arguments.makes_model or training.do_eval, "test": training.do_predict}
    files = {"train": data.train_file, "dev": data.validation_file, "test": data.test_file}
    if data.dataset_name is None:
        return {name: read_file(path) for name, path in files.items() if needed[name] and path is not None}
    selects = training.do_eval or training.eval_strategy != IntervalStrategy.NO or not training.do_train
    wanted = [name for name in SPLITS if needed[name] and (name != "dev" or selects)]
    welcome = ["dev"] if needed["dev"] else []
    found = load_splits(data.dataset_name, data.dataset_config_name, wanted, welcome)
    return {name: records_of(rows, f"{data.dataset_name} {name}") for name, rows in found.items()}


def build_trainer(arguments: Arguments, splits: Splits) -> TripletTrainer:
    """The trainer of a run, with its model and its training and dev set."""
    train = splits.get("train", [])
    trees = [record for path in arguments.data.parser_file or [] for record in read_trees(path)]
    model, processor = start(arguments, [*train, *trees])
    _check_parser(arguments, model.config)
    for name, records in splits.items():
        warn_of_faults(name, records, model.config.max_span_width)
    trainer = TripletTrainer(
        model,
        arguments.training,
        train_dataset=[*train, *trees_that_fit(processor, trees)] or None,
        eval_dataset=splits.get("dev"),
        processing_class=processor,
    )
    trainer.place = arguments.data.place()
    trainer.told = Told(vars(arguments.model), vars(arguments.data))
    return trainer


def start(arguments: Arguments, records: Sequence[Record]) -> Model:
    """What the run starts from: a new model on an encoder, that of a checkpoint, or one of several."""
    chosen, overrides = arguments.model, arguments.config_overrides()
    if chosen.model_name_or_path is not None:
        return continue_from(chosen.model_name_or_path, overrides, arguments.training.do_train)
    if chosen.ensemble_of is not None:
        return join(chosen.ensemble_of)
    return build_model(str(chosen.encoder_name_or_path), records, chosen.word_splitter or "penn", **overrides)


# --- steps ------------------------------------------------------------------------------------------------


def _log_to_stderr(arguments: Arguments) -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logger.setLevel(logging.INFO if arguments.training.process_index == 0 else logging.ERROR)
    if arguments.training.disable_tqdm:
        datasets.disable_progress_bars()


def _prepare_folder(arguments: Arguments) -> str | None:
    """The checkpoint to go on from; refuses a folder before the minutes that a model takes to load."""
    training, folder = arguments.training, arguments.output_dir
    if training.do_train:
        return find_checkpoint(training, training.resume_from_checkpoint)
    if training.should_save:
        check_writable(folder)
        keep_private(folder)
        if arguments.makes_model:
            check_vacant(folder, training.overwrite_output_dir)
    return None


def _check_parser(arguments: Arguments, config: D2E2SConfig) -> None:
    """Whether the model has a parser, if there are sentences for it."""
    data = arguments.data
    if data.parser_file and not config.parser_loss_weight:
        raise UserError("--parser_file trains the parser, but --parser_loss_weight 0 switches that off")
    if (data.parser_file or data.parser_test_file) and (config.needs_heads or not config.uses_parser):
        raise UserError(
            f"--parser_file and --parser_test_file are for the built-in parser, but with syntax={config.syntax!r}, "
            f"syntactic_gcn={config.syntactic_gcn!r}, fusion_type={config.fusion_type!r} the model has none"
        )


def _score_test(trainer: TripletTrainer, records: Sequence[Record], show: int) -> Figures:
    """Score test, once, at the calibration and the threshold that dev chose; print some of it."""
    figures = trainer.score(records, "test")
    if show and trainer.is_world_process_zero():
        for record in read_records(predictions_file(Path(str(trainer.args.output_dir)), "test"))[:show]:
            print(format_prediction(record))
    return figures
