"""What the commands of this folder have in common: one line for what a person can mend, and exit code 2."""

import sys
from collections.abc import Callable

from d2e2s.errors_d2e2s import UserError


def exit_code(run: Callable[[], object]) -> int:
    """Run a command: 0, or 2 after one line on stderr for a mistake in its input or a file that cannot be had."""
    try:
        run()
    except (UserError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0
