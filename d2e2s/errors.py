"""Mistakes and bugs told apart: a person's mistake is said in one line, a bug keeps its traceback."""

import sys

from .errors_d2e2s import UserError

__all__ = ["UserError", "is_mistake", "refuse"]


def is_mistake(error: BaseException) -> bool:
    """Whether a person can mend it: input, arguments, files, the network, the Hub, a field of the configuration."""
    from huggingface_hub.errors import HFValidationError, StrictDataclassError  # takes time that `--help` has not

    known = UserError | OSError | StrictDataclassError | HFValidationError
    return isinstance(error, known) or _is_silence(error)


def _is_silence(error: BaseException) -> bool:
    """Whether the Hub gave no answer: an error of the HTTP library, whose name depends on huggingface_hub's version."""
    return not isinstance(error, OSError) and any(base.__name__ == "HTTPError" for base in type(error).__mro__)


def refuse(error: BaseException) -> int:
    """Say what is wrong, and return the exit code. Of a wrong configuration the cause says which values are allowed."""
    reason: object = error.__cause__ if not isinstance(error, UserError | OSError) and error.__cause__ else error
    if _is_silence(error):
        from huggingface_hub import constants

        reason = f"{constants.ENDPOINT} cannot be reached ({error})"
    print("error:", " ".join(str(reason).split()), file=sys.stderr)
    return 2
