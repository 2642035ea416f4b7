"""What this processor multiplies by itself, and so does fast."""

from functools import cache
from pathlib import Path

BFLOAT16, INT8 = ("amx_bf16", "avx512_bf16"), ("amx_int8", "avx512_vnni", "avx_vnni")  # flags as Linux names them


@cache
def cpu_formats() -> tuple[str, ...]:
    """Those of the flags that it has; none where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
    return tuple(flag for flag in (*BFLOAT16, *INT8) if flag in flags)


def multiplies_bfloat16() -> bool:
    return not {*BFLOAT16}.isdisjoint(cpu_formats())
