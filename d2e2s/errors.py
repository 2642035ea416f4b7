"""Errors that are the user's to mend: each command says them in one line on stderr and ends with exit code 2."""

from __future__ import annotations

import sys

from huggingface_hub.errors import StrictDataclassError

EXPECTED = (ValueError, OSError, StrictDataclassError)


def refuse(error: BaseException) -> int:
    """Say what is wrong, and return the exit code. Of a wrong configuration the cause says which values are allowed."""
    reason = error.__cause__ if isinstance(error, StrictDataclassError) and error.__cause__ else error
    print("error:", " ".join(str(reason).split()), file=sys.stderr)
    return 2
