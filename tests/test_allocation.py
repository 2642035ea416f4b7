"""Memory that training frees is kept while it runs, and is given back at its end."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import pytest
import torch

from d2e2s.training.allocation import freed_memory_kept

FLOATS = 1 << 24  # 64 MB: more than any arena of a thread holds


class MallInfo(ctypes.Structure):
    """`struct mallinfo2`; `hblks` counts the blocks that came from the kernel one by one."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", *"abcdef")]


@pytest.fixture
def asks_the_kernel() -> Callable[[], bool]:
    """Whether a large tensor is a block of its own, from the kernel."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if mallinfo is None:
        pytest.skip("the C library is not glibc 2.33 or newer")
    mallinfo.restype = MallInfo

    def asks() -> bool:
        before = mallinfo().hblks
        tensor = torch.empty(FLOATS)
        return len(tensor) == FLOATS and mallinfo().hblks > before

    return asks


def test_large_tensors_are_taken_from_memory_that_is_there(asks_the_kernel: Callable[[], bool]) -> None:
    assert asks_the_kernel()
    with freed_memory_kept():
        assert not asks_the_kernel()
    assert asks_the_kernel()


def test_a_failure_inside_leaves_it_as_before(asks_the_kernel: Callable[[], bool]) -> None:
    with pytest.raises(KeyError), freed_memory_kept():
        raise KeyError
    assert asks_the_kernel()
