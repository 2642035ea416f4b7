"""Memory that training frees is kept while it runs, and is given back at its end."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_runs import command, main, write_data

# A process of its own, as one that has trained holds enough memory for any tensor. `hblks` of `struct mallinfo2` counts
# the blocks that came from the kernel one by one.
PROGRAM = """
import contextlib, ctypes, torch
from d2e2s.training.allocation import freed_memory_kept

class MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", *"abcdef")]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = MallInfo

def asks_the_kernel():
    before = mallinfo().hblks
    tensor = torch.empty(1 << 24)  # 64 MB: more than any arena of a thread holds
    return len(tensor) > 0 and mallinfo().hblks > before

print(asks_the_kernel())
with contextlib.suppress(KeyError), freed_memory_kept():
    print(asks_the_kernel())
    raise KeyError
print(asks_the_kernel())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library is not glibc"
)
def test_large_tensors_are_taken_from_memory_that_is_there() -> None:
    """Inside; before and after, also after a failure, each is asked of the kernel."""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == ["True", "False", "True"]


@pytest.mark.slow
def test_training_on_a_cpu_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    @contextmanager
    def kept() -> Iterator[None]:
        steps.append("begin")
        yield
        steps.append("end")

    monkeypatch.setattr("d2e2s.training.trainer.freed_memory_kept", kept)
    data = write_data(tmp_path, train=4, dev=4)
    assert main(command(data, tmp_path / "out", max_steps=1, do_predict=False)) == 0
    assert steps == ["begin", "end"]
