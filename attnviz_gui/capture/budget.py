"""How much memory a capture takes, and how much there is for it. Runs nothing."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnviz_gui.capture.models import LoadedModel

SHARE = 1 / 3  # of the free memory: what is drawn of a capture takes some as well
BATCH_SHARE = 1 / 8  # of the free memory: what one batch may take while it runs
LEAST_BATCH = 64 << 20  # bytes, below which a smaller budget makes no smaller batch
_UNKNOWN = 4 << 30  # bytes, where the system says nothing


def expected_bytes(model: LoadedModel, lengths: Sequence[int]) -> int:
    """Return about how many bytes a capture of texts of so many tokens will take.

    Queries, keys and values of each layer in float32, and one mask for each text; told by the
    model's config, 0 where it has none.
    """
    from attnviz_gui.capture.run import count_layers, text_config

    config = text_config(model.module)
    width = _width(config)
    turned = getattr(config, "rope_parameters", None) or getattr(config, "rope_theta", None)
    n_vectors = 5 if turned else 3  # queries and keys also before the rotary embedding
    n = np.asarray(lengths, dtype=np.float64)
    vectors = n.sum() * count_layers(model.module) * n_vectors * width * 4
    return int(vectors + (n * n).sum())


def batch_tokens(model: LoadedModel, n_bytes: int) -> Callable[[int], int]:
    """Return how many tokens a batch of texts of so many tokens each may have in `n_bytes`.

    While it runs a batch takes, about, twice what is kept of it (as the model computes it, and as
    it is kept), a feed-forward layer's values, and one layer's logits and attention for all heads.
    Told by the model's config; where it has none, as if there were nothing to keep.
    """
    from attnviz_gui.capture.run import text_config

    config = text_config(model.module)
    n_heads = getattr(config, "num_attention_heads", None)
    heads = n_heads if isinstance(n_heads, int) else 1
    each = 2 * expected_bytes(model, [1]) + 2 * 4 * 4 * _width(config)
    return lambda length: int(n_bytes / (each + 3 * 4 * heads * length + 1))


def _width(config: object) -> int:
    """Return the length of a layer's queries, all heads together; 0 where nothing tells it."""
    sizes = [getattr(config, name, None) for name in ("hidden_size", "d_model", "n_embd", "dim")]
    width = next((size for size in sizes if isinstance(size, int)), 0)
    n_heads = getattr(config, "num_attention_heads", None)
    head_dim = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    if isinstance(n_heads, int) and isinstance(head_dim, int):
        width = n_heads * head_dim
    return width


def free_memory() -> int:
    """Return the bytes of memory that are free, as far as the system tells."""
    found = [free for free in (_linux(), _group()) if free is not None]
    if found:
        return min(found)
    return _windows() or _pages() or _UNKNOWN


def budget() -> int:
    """Return the bytes that a capture may take in memory unless somebody says otherwise."""
    return int(free_memory() * SHARE)


def _linux() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _group(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return what a container's limit leaves; beyond it the system ends programs."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most = (root / limit).read_text(encoding="ascii").strip()
            now = (root / used).read_text(encoding="ascii").strip()
            return max(int(most) - int(now), 0)
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None


def _windows() -> int | None:
    library = getattr(ctypes, "windll", None)
    if library is None:
        return None

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    if not library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.free)


def _pages() -> int | None:
    """Return half of what is built in, where nothing says how much of it is free (macOS)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None
