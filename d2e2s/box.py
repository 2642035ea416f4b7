"""The model in the box: `reviews-en`, which comes with the package, for English reviews of any kind."""

import filecmp
import os
import shutil
from pathlib import Path

from . import errors_d2e2s

REVIEWS_EN = "reviews-en"
FOLDER = Path(__file__).with_name(REVIEWS_EN)


def resolve_model(name: str) -> str:
    """The folder of the model in the box, if that is meant; any other name of a model is left as it is."""
    return str(FOLDER) if name == REVIEWS_EN and not Path(name).exists() else name


def by_full_path(name: str) -> str:
    """A folder by its full path, for a process that starts in another one; a name of the Hub is left as it is."""
    return os.path.abspath(name) if os.path.isdir(name) else name


def reviews_en() -> str:
    """Folder of the model in the box, as a checkpoint that also works where this package is not installed.

    `pipeline(model=reviews_en(), trust_remote_code=True)` takes it; so does a copy of it on another machine. A wheel
    holds its code; in a clone it is put beside the weights here.

    Raises:
        OSError: the folder cannot be written to.
    """
    for code in Path(errors_d2e2s.__file__).parent.glob("*_d2e2s.py"):
        copy = FOLDER / code.name
        if not (copy.is_file() and filecmp.cmp(code, copy, shallow=False)):
            shutil.copyfile(code, copy)
    return str(FOLDER)
