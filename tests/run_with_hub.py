"""Runs a Python file where a double stands in for the Hub, and says what it has pushed there.

python tests/run_with_hub.py FILE
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from hub_double import running


def main() -> int:
    with running() as hub, tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, **hub.environment, "HF_HOME": cache}
        code = subprocess.run([sys.executable, sys.argv[1]], env=environment, check=False).returncode
    for (kind, name), repository in hub.repositories.items():
        print(f"pushed to {kind}/{name}: {', '.join(sorted(repository.files))}")
    return code


if __name__ == "__main__":
    sys.exit(main())
