"""Memory that one step of training on a CPU gives back, kept for the next one."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

# `mallopt` of glibc: its parameters in malloc.h, and what they are unless told.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
TRIM_THRESHOLD, MMAP_MAX = 128 * 1024, 65536
KEEP_ALL, NONE = -1, 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """The process keeps what it frees, until the end; where the C library is not glibc nothing changes.

    The gradients and activations of a step are large, so glibc takes each tensor of them from the kernel and gives it
    back: every step the kernel fills gigabytes of fresh pages with zeros, a sixth of a step's time at base size.
    """
    library = None if os.name == "nt" else ctypes.CDLL(None)  # the C library of this process; Windows does not tell
    mallopt = getattr(library, "mallopt", None)
    if library is None or mallopt is None:
        yield
        return
    mallopt(M_MMAP_MAX, NONE)
    mallopt(M_TRIM_THRESHOLD, KEEP_ALL)
    try:
        yield
    finally:
        mallopt(M_MMAP_MAX, MMAP_MAX)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
        library.malloc_trim(0)
