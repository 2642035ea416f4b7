"""Better arguments for your own data: a search on dev by Optuna, through the Trainer's `hyperparameter_search`.

    d2e2s search configs/search.yaml --trials 20
    d2e2s search configs/search.yaml --trials 20 --train_file data/mine/train.jsonl \\
        --validation_file data/mine/dev.jsonl --output_dir outputs/search-mine
    d2e2s train outputs/search-mine/best.yaml --test_file data/mine/test.jsonl --do_predict true

The first blocks of the file: `base`, arguments of `run_aste.py`, which the command line overrides; and `space`, what to
search: a list of values, or `{low, high}` with `log: true` for a logarithmic scale (whole numbers if both are). A trial
is worth the triplet F1 on dev of its best epoch; bad ones are stopped early. Test is never read. All trials are kept in
`trials.db` of the output folder: the same command, started again, goes on until there are as many as it asks for.
"""

import argparse
import copy
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import optuna
from huggingface_hub.errors import StrictDataclassError
from optuna.trial import TrialState

from ..errors_d2e2s import UserError
from ..evaluation.results import MODEL_FIELDS
from ..training.arguments import TripletTrainingArguments
from ..training.config_files import argument_name, read_yaml
from ..training.run import build_trainer as trainer_of
from ..training.run import load_records, start
from ..training.steps import DivergedError
from ..training.trainer import TripletTrainer
from .plan import Values, parse_values, write_yaml

STORAGE = "trials.db"
BEST = "best.yaml"
# No trial keeps a model: the best arguments are trained again with `d2e2s train`.
FIXED = {"do_train": True, "do_predict": False, "save_strategy": "no", "load_best_model_at_end": False}
OF_TRAINING = {field.name for field in fields(TripletTrainingArguments)}


def read_space(path: Path) -> tuple[Values, Values]:
    """The blocks `base` and `space` of a file.

    Raises:
        FileNotFoundError: no such file. UserError: it does not say what to search.
    """
    blocks = read_yaml(path, "configuration of a search")
    if not isinstance(blocks, dict) or set(blocks) != {"base", "space"}:
        raise UserError(f"{path}: expected the blocks base and space")
    if not all(isinstance(block, dict) and block for block in blocks.values()):
        raise UserError(f"{path}: expected `name: value` lines in base and in space")
    for name, choice in blocks["space"].items():
        _check_choice(path, name, choice)
    return blocks["base"], blocks["space"]


def _check_choice(path: Path, name: str, choice: Any) -> None:
    if name not in OF_TRAINING | {*MODEL_FIELDS}:
        raise UserError(f"{path}: space: {name!r} is no argument of the training or the model")
    bounded = isinstance(choice, dict) and {"low", "high"} <= set(choice) <= {"low", "high", "log"}
    if not (bounded or (isinstance(choice, list) and len(choice) > 1)):
        raise UserError(f"{path}: space: {name} is {choice!r}; expected a list of values or {{low, high, log}}")
    if bounded:
        try:
            fits = float(choice["low"]) < float(choice["high"])  # 1e-5 is text to YAML
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise UserError(f"{path}: space: {name} is {choice!r}; expected numbers with low < high")


def suggest(trial: optuna.trial.BaseTrial, name: str, choice: Any) -> Any:
    """A value for an argument; asked again, the same trial gives the same."""
    if isinstance(choice, list):
        return trial.suggest_categorical(name, choice)
    low, high, log = choice["low"], choice["high"], bool(choice.get("log"))
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=log)
    return trial.suggest_float(name, float(low), float(high), log=log)


def build_trainer(arguments: Any, space: Values) -> TripletTrainer:
    """A trainer that starts each trial with a new model of the trial's own choices.

    Raises:
        UserError, OSError: arguments or data that do not fit.
    """
    if "early_stopping_patience" in space:  # any, for the trainer to stop early at all: each trial brings its own
        arguments.training.early_stopping_patience = 1
        arguments.check()
    splits = load_records(arguments)
    trainer = trainer_of(arguments, splits)

    def new_model(trial: optuna.trial.BaseTrial) -> Any:
        chosen = copy.copy(arguments)
        chosen.config = copy.copy(arguments.config)
        for name in space.keys() - OF_TRAINING:
            setattr(chosen.config, name, suggest(trial, name, space[name]))
        return start(chosen, splits["train"])[0]

    trainer.model_init = new_model
    return trainer


def search(arguments: Any, space: Values, trials: int, settings: Values) -> optuna.Study:
    """Try arguments until there are `trials` in the storage of the output folder.

    Args:
        settings: all that was said, for the storage.

    Raises:
        UserError, OSError: arguments or data that do not fit; or the trials in the storage had other settings.
    """
    trainer = build_trainer(arguments, space)

    def of_trial(trial: optuna.trial.BaseTrial) -> Values:
        values = {name: suggest(trial, name, choice) for name, choice in space.items()}
        chosen = {name: value for name, value in values.items() if name in OF_TRAINING}
        # The Trainer turns values into the type of those of the trial before, which None cannot be.
        for name in [name for name, value in chosen.items() if value is None]:
            setattr(trainer.args, name, chosen.pop(name))
        return chosen

    def worth(metrics: dict[str, float]) -> float:
        evaluated = (*trainer.state.log_history, metrics)
        return max(entry["eval_triplet_f1"] for entry in evaluated if "eval_triplet_f1" in entry)

    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{arguments.output_dir / STORAGE}"
    kept: Values = {"storage": storage, "direction": "maximize", "load_if_exists": True}
    found = optuna.create_study(study_name="triplet_f1", **kept)
    check_settings(found, settings, arguments.output_dir)
    done = len(found.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)))
    if done < trials:
        try:
            trainer.hyperparameter_search(
                of_trial,
                worth,
                n_trials=trials - done,
                backend="optuna",
                catch=(DivergedError, StrictDataclassError),
                study_name=found.study_name,
                sampler=optuna.samplers.TPESampler(seed=arguments.training.seed + done),
                **kept,
            )
        except ValueError as error:  # it asks for the best trial, also where none came to its end, which is said later
            if "Record does not exist" not in str(error):  # optuna's words
                raise
    return found


def check_settings(found: optuna.Study, settings: Values, folder: Path) -> None:
    """Whether earlier trials were made with the same settings; writes those of the first."""
    settings = json.loads(json.dumps(settings, default=str))
    before = found.user_attrs.get("settings", settings)
    if changed := sorted(name for name in before | settings if before.get(name) != settings.get(name)):
        was = ", ".join(f"{name} {before.get(name)!r}" for name in changed)
        raise UserError(f"{folder}: was begun with {was}, other than now; give the search another --output_dir")
    found.set_user_attr("settings", settings)


def run(options: argparse.Namespace) -> None:
    """Search, print the trials, best first, and write the best arguments to `best.yaml`.

    Raises:
        UserError, OSError: a configuration, arguments or data that do not fit; or no trial came to its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    words: Sequence[str] = options.more
    base, space = read_space(options.configuration)
    arguments = parse_values({"output_dir": "outputs/search", **base, **FIXED}, words)
    if arguments.training.do_predict:
        raise UserError("a search never reads test: leave out --do_predict")
    if arguments.data.parser_file:
        raise UserError("a search trains on triplets alone: leave --parser_file to the training that follows it")
    settings = said(arguments, base, words)
    found = search(arguments, space, options.trials, {**settings, "space": space})
    finished = sorted(found.get_trials(states=(TrialState.COMPLETE,)), key=lambda trial: -(trial.value or 0.0))
    for trial in finished:
        values = (f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.params.items())
        print(f"{100 * (trial.value or 0.0):6.2f}  " + ", ".join(values))
    print(f"{len(finished)} of {len(found.trials)} trials came to their end; the others were bad ones, stopped early")
    if not finished:
        raise UserError(f"{arguments.output_dir}: no trial came to its end")
    best, output = arguments.output_dir / BEST, {"do_train": True, "do_eval": True}
    write_yaml(best, {**settings, **finished[0].params, **output, "output_dir": str(best.with_suffix(""))})
    print(f"d2e2s train {best}")


def said(arguments: Any, base: Values, words: Sequence[str]) -> Values:
    """The values of the arguments that the file or the command line speaks of, but those that a search fixes."""
    groups = (arguments.model, arguments.config, arguments.data, arguments.training)
    values = {name: value for group in groups for name, value in vars(group).items()}
    names = [*base, *filter(None, map(argument_name, words))]
    names = [name if name in values else name.removeprefix("no_") for name in names]
    plain = {name: getattr(values[name], "value", values[name]) for name in names}  # of an Enum
    return {name: value for name, value in plain.items() if name not in (*FIXED, "output_dir")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("configuration", type=Path, metavar="SEARCH.yaml")
    add("--trials", type=int, default=20, help="trials in all, with those of earlier calls (%(default)s)")
