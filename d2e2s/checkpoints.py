"""Checkpoints: the one way to load them, checksums beside the files, writing that is whole or not there."""

import hashlib
import json
import logging
import pickle
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedConfig
from transformers.utils import CONFIG_NAME

# From the package itself, whose first access registers them: no code of a checkpoint is asked for.
from . import D2E2SConfig, D2E2SForTripletExtraction, D2E2SProcessor
from .box import resolve_model
from .data_scripts.files import sha256, to_disk, write_marked, write_text
from .encoders import fit_window
from .errors_d2e2s import UserError

logger = logging.getLogger("d2e2s")

SUMS = "SHA256SUMS"  # a line a file, as `sha256sum --check` reads it
WEIGHTS = "*.safetensors"
UNFINISHED = ".writing-"
# What of an output folder stays here, whoever pushes it: states of the training, pickles, and sentences of the data,
# which need not be ours to publish.
PRIVATE = (
    *("checkpoint-*/", f"{UNFINISHED}*/", "predictions_*.jsonl"),
    *("*.bin", "*.ckpt", "*.joblib", "*.pickle", "*.pkl", "*.pt", "*.pth"),
)


class CheckpointError(UserError):
    """A checkpoint that is not whole, or whose files are not those that were saved."""


# --- checksums --------------------------------------------------------------------------------------------


def seal(folder: Path, pattern: str = "*") -> None:
    """Put the files that match, in subfolders too, safely on the disk and their checksums beside them.

    Whoever may read the folder may read them: safetensors writes for its owner alone, whatever the umask.

    Raises:
        OSError: a file that cannot be read, or no room.
    """
    files = sorted(path for path in folder.rglob(pattern) if path.is_file() and path.name != SUMS)
    for path in files:
        to_disk(path)
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text(folder / SUMS, "".join(lines))
    for path in files:
        path.chmod((folder / SUMS).stat().st_mode)


def check(folder: Path) -> list[str]:
    """The files that were sealed, each compared with its checksum; none if the folder was never sealed.

    Raises:
        CheckpointError: a file that is missing, cut off or changed; or checksums that cannot be read.
    """
    if not (folder / SUMS).is_file():
        return []
    names = []
    for number, line in enumerate((folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        digest, _, name = line.partition("  ")
        path = folder / name
        if not name or not path.resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(f"{folder / SUMS}:{number}: no checksum and name of a file of this folder")
        if not path.is_file():
            raise CheckpointError(f"{path}: missing, though {SUMS} lists it")
        if sha256(path) != digest:
            raise CheckpointError(
                f"{path}: damaged or changed since it was saved: get it anew, or delete {folder / SUMS} if you changed "
                "it yourself"
            )
        names.append(name)
    return names


def check_model(name: str) -> None:
    """Whether a folder holds a model as it was saved; a name of the Hub passes.

    Raises:
        FileNotFoundError: no such folder, or no model in it.
        CheckpointError: a configuration that is no JSON object, or weights that differ from their checksum.
    """
    folder, config = Path(name), Path(name, CONFIG_NAME)
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith(".") or name.count("/") > 1:
            raise FileNotFoundError(f"{name}: no such folder")
        return
    if not config.is_file():
        raise FileNotFoundError(f"{name}: holds no {CONFIG_NAME}: no model was saved there")
    try:
        fields = json.loads(config.read_bytes())
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise CheckpointError(f"{config}: no JSON object: the file is damaged, get it anew")
    check(folder)


# --- loading ----------------------------------------------------------------------------------------------


def load_checkpoint(
    name: str, dtype: Any = "auto", overrides: Mapping[str, Any] | None = None, may_start_anew: bool = False
) -> tuple[D2E2SForTripletExtraction, D2E2SProcessor]:
    """The model of a checkpoint, its files compared with their checksums, and its processor.

    Args:
        name: folder or Hub name; `reviews-en` is the model in the box.
        dtype: as for `from_pretrained`.
        overrides: fields of the configuration in place of the checkpoint's.
        may_start_anew: what the checkpoint has no fitting weights for starts anew, which is said; else it is refused.

    Raises:
        CheckpointError: damaged files, or weights that do not fit the configuration.
        UserError: another kind of model, or overrides that cannot be set.
        OSError: there is no such checkpoint.
    """
    overrides, name = dict(overrides or {}), resolve_model(name)
    check_model(name)
    with reading(name):
        kind = PreTrainedConfig.get_config_dict(name)[0].get("model_type")
    if kind != D2E2SConfig.model_type:
        raise UserError(f"{name}: no D2E2S checkpoint (model_type {kind!r}); an encoder goes to --encoder_name_or_path")
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "ignore_mismatched_sizes": True}
    table_of_weights = logging.getLogger("transformers.modeling_utils")  # one line says it better
    with reading(name), for_a_while(table_of_weights, "disabled", True):
        loaded: Any = D2E2SForTripletExtraction.from_pretrained(name, output_loading_info=True, **options, **overrides)
        model, info = loaded
        processor = fit_window(D2E2SProcessor.from_pretrained(name), model.d2e2s.encoder)
    divided = sorted(overrides.keys() & {field for differences in model.config.others for field in differences})
    if divided:
        raise UserError(f"{name}: its models differ in {', '.join(divided)}, which cannot be set for all of them")
    if misfit := _misfit(info):
        if not may_start_anew:
            asked = ", ".join(f"--{field}" for field in overrides)
            what = f"the model asked for ({asked})" if asked else "its own configuration"
            hint = "; --do_train trains them" if asked else ": get it anew"
            raise CheckpointError(f"{name}: weights do not fit {what}; {misfit}{hint}")
        logger.warning("%s: what is missing or of another size starts anew (%s)", name, misfit)
    return model, processor


def _misfit(info: Mapping[str, Any]) -> str:
    """The weights that a checkpoint and its model do not have in common, for people."""
    problems = {
        "missing": info["missing_keys"],
        "of another size": [key for key, *_ in info["mismatched_keys"]],
        "not used": info["unexpected_keys"],
    }
    return "; ".join(f"{what}: {some(keys)}" for what, keys in problems.items() if keys)


@contextmanager
def for_a_while(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute has another value, and then the one of before."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def some(names: Iterable[str], shown: int = 4) -> str:
    """The first few names, and how many more there are."""
    names = sorted(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


# --- which checkpoint to go on from -----------------------------------------------------------------------


def check_whole(checkpoint: Path) -> None:
    """Whether everything of a checkpoint of a run is there.

    Raises:
        CheckpointError: it was being written when its run died, or a file of it is damaged.
    """
    from transformers.trainer import TRAINER_STATE_NAME  # which imports what takes a second, for training only

    if TRAINER_STATE_NAME not in check(checkpoint):
        raise CheckpointError(f"{checkpoint}: was not finished: its run ended while it was being written")


def last_whole(folder: Path) -> str | None:
    """The newest checkpoint of a run that is whole; says which newer ones are passed over, and why."""
    from transformers.trainer_utils import sort_checkpoints

    for checkpoint in reversed(sort_checkpoints(str(folder))):
        try:
            check_whole(Path(checkpoint))
        except CheckpointError as error:
            logger.warning("passed over: %s", error)
        else:
            return checkpoint
    return None


def weights_digest(module: Any) -> Any:
    """A digest of `hashlib` of the weights and buffers of a module, by their names and as they are in memory."""
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest


# --- reading and writing ----------------------------------------------------------------------------------


@contextmanager
def reading(folder: str | Path) -> Iterator[None]:
    """What the libraries raise for files that they cannot read, as one error with the place.

    Raises:
        CheckpointError: damaged weights; weights of another model; anything but tensors where pickle would be needed.
        OSError: no such model, here or on the Hub.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{folder}: holds a file that is damaged or is more than tensors and plain values, and is not loaded"
        ) from error
    except SafetensorError as error:
        raise CheckpointError(f"{folder}: the weights are damaged: {error}") from error
    except OSError as error:
        if error.errno is not None or str(folder) in str(error) or Path(folder).is_dir():
            raise
        raise OSError(
            f"{folder}: no such folder here, and nothing of that name to be had elsewhere: {error}"
        ) from error
    except UserError:
        raise
    except (RuntimeError, EOFError, KeyError, ValueError) as error:
        raise CheckpointError(f"{folder}: cannot be loaded, or does not fit the model asked for: {error}") from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the libraries raise for a disk that is full or not to be written to, as one error with the place."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        raise OSError(f"{folder}: cannot be written, is there room on the disk? {error}") from None


@contextmanager
def all_or_nothing(folder: Path, writes: bool) -> Iterator[None]:
    """Write the whole of a folder: what an earlier run left of it goes first, and an error leaves none of it.

    Args:
        writes: False on processes that write nothing of their own.

    Raises:
        OSError: it cannot be written.
    """
    if writes:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        with writing(folder):
            yield
    except OSError:
        if writes:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A new folder to write into; its files take the place of those in `folder` once all of them are there.

    Weights that are not among them go, so that old and new ones never lie together.

    Raises:
        OSError: it cannot be written; `folder` is then as it was.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as name:
            yield Path(name)
            _move_in(Path(name), folder)


def _move_in(source: Path, folder: Path) -> None:
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).replace(folder / file)
    for old in {*folder.glob(WEIGHTS), *folder.glob(f"{WEIGHTS}.index.json")} - {folder / file for file in files}:
        old.unlink()


def keep_private(folder: Path) -> None:
    """Write the `.gitignore` that makes the Hub refuse what stays here; one that somebody wrote is kept.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / ".gitignore"
    if not write_marked(path, "\n".join(PRIVATE)):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if missing := [line for line in PRIVATE if line not in lines]:
            logger.warning("%s: add these lines, or a push may take such files: %s", path, " ".join(missing))


def check_writable(folder: Path) -> None:
    """Make a folder and try it, before the hours that its content takes.

    Raises:
        OSError: it cannot be made or written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.NamedTemporaryFile(prefix=UNFINISHED, dir=folder).close()
