"""Push what a run left, prepared data, or the metric's Space to the Hub: one folder, one repository.

d2e2s push outputs/14res someone/d2e2s-14res --seeds outputs/14res-43 outputs/14res-44
d2e2s push data/mine someone/my-reviews --private
d2e2s push metrics/aste someone/aste
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi
from transformers.utils import PROCESSOR_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from .checkpoints import PRIVATE
from .configuration_d2e2s import D2E2SConfig
from .data_scripts.dataset_card import UNKNOWN_LICENCE, read_dataset_card
from .errors_d2e2s import UserError
from .evaluation.results import RESULTS
from .reporting.card import add_card_arguments, write_card
from .serving.endpoint import write_endpoint

# A file that only a folder of that kind has, and the Hub's name of the kind.
KINDS = {"app.py": "space", "config.json": "model", "*.jsonl": "dataset", "*.parquet": "dataset"}
# At the top and below. `_*`, because a Trainer's own push leaves it out.
IGNORED = ["_*", *(f"{place}{name}" for name in (*PRIVATE, "__pycache__/") for place in ("", "*/"))]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="output of a training run, prepared data, or metrics/aste")
    parser.add_argument("repository", help="such as someone/d2e2s-14res; it is made if there is none")
    parser.add_argument("--private", action="store_true", help="make it a private repository")
    add_card_arguments(parser)


def run(options: argparse.Namespace) -> None:
    print(push(options.folder, options.repository, options.private, options.seeds, options.license))


def push(
    folder: Path, repository: str, private: bool = False, seeds: Sequence[Path] = (), licence: str | None = None
) -> str:
    """Push a folder; the card of a model is written anew, with its name there, unless somebody changed it.

    Args:
        seeds: output folders of the same recipe with other seeds, for the model card.
        licence: of the weights, for the model card.

    Returns:
        Address of the repository.

    Raises:
        UserError: a folder of no known kind, or one that lacks something; figures that fit no card; a repository
            that is public although it should be private.
        HFValidationError: (`huggingface_hub.errors`) no name of a repository.
        OSError: the Hub refuses. If it cannot be reached, the error is that of the HTTP library.
    """
    kind = kind_of(folder)
    if kind == "model":
        check_pushable(folder)
        write_endpoint(folder)
        write_card(folder, repository, seeds, licence)
    elif kind == "dataset":
        check_dataset(folder, private)
    return _upload(folder, repository, kind, private)


def _upload(folder: Path, repository: str, kind: str, private: bool) -> str:
    hub, sdk = HfApi(), "gradio" if kind == "space" else None
    url = hub.create_repo(repository, repo_type=kind, private=private or None, exist_ok=True, space_sdk=sdk)
    if private and not hub.repo_info(url.repo_id, repo_type=kind).private:
        raise UserError(f"{url} is there already, and public: nothing was pushed; make it private on the Hub first")
    hub.upload_folder(
        repo_id=url.repo_id,
        repo_type=kind,
        folder_path=folder,
        ignore_patterns=IGNORED,
        commit_message=f"Push {kind} with d2e2s",
    )
    return str(url)


def kind_of(folder: Path) -> str:
    """`model`, `dataset` or `space`.

    Raises:
        UserError: none of them.
    """
    for pattern, kind in KINDS.items():
        if any(folder.glob(pattern)):
            return kind
    raise UserError(f"{folder}: expected a folder with {' or '.join(KINDS)}, found none of them")


def check_pushable(folder: Path) -> None:
    """Whether the folder holds all that `AutoModel` and `pipeline` need where this package is not installed.

    Raises:
        UserError: what is missing, and how to get it.
    """
    fields = D2E2SConfig.get_config_dict(folder)[0]
    if fields.get("model_type") != D2E2SConfig.model_type:
        raise UserError(f"{folder}: no D2E2S checkpoint (model_type {fields.get('model_type')!r})")
    classes = list(fields.get("auto_map", {}).values())
    classes += [task["impl"] for task in fields.get("custom_pipelines", {}).values()]
    code = sorted({f"{name.split('--')[-1].split('.')[0]}.py" for name in classes})
    if len(code) < 3:
        raise UserError(f"{folder}/config.json: auto_map or custom_pipelines is missing; save it with save_pretrained")
    weights = SAFE_WEIGHTS_INDEX_NAME if (folder / SAFE_WEIGHTS_INDEX_NAME).is_file() else SAFE_WEIGHTS_NAME
    wanted = [weights, PROCESSOR_NAME, "tokenizer_config.json", RESULTS, *code]
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise UserError(f"{folder}: {', '.join(missing)} missing; push the output folder of a training run")


def check_dataset(folder: Path, private: bool) -> None:
    """Whether the data may be shown to everybody.

    Raises:
        UserError: there is no card, or nobody has stated a licence and the repository would be public.
    """
    if not (folder / "README.md").is_file():
        raise UserError(f"{folder}: no README.md; prepare the data with a script of data_scripts, which writes one")
    licence = read_dataset_card(folder)["licence"]
    if licence in (None, UNKNOWN_LICENCE) and not private:
        raise UserError(f"{folder}/README.md states no licence: state one if the data is yours, or push it --private")
