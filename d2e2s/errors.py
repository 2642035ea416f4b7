"""Mistakes and bugs told apart: a person's mistake is said in one line, a bug keeps its traceback."""

from __future__ import annotations

import sys

from .errors_d2e2s import UserError

__all__ = ["UserError", "is_mistake", "refuse"]


def is_mistake(error: BaseException) -> bool:
    """Whether a person can mend it: input, arguments, files, the network, a field of the configuration."""
    from huggingface_hub.errors import StrictDataclassError  # takes time that `--help` has not

    return isinstance(error, UserError | OSError | StrictDataclassError)


def refuse(error: BaseException) -> int:
    """Say what is wrong, and return the exit code. Of a wrong configuration the cause says which values are allowed."""
    reason = error.__cause__ if not isinstance(error, UserError | OSError) and error.__cause__ else error
    print("error:", " ".join(str(reason).split()), file=sys.stderr)
    return 2
