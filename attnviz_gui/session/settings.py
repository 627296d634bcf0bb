"""What is remembered between two starts: one readable JSON file in the user's folder.

A file that is broken, or from a newer version, never stops the program: what can be read of it is
used, the rest is the default.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from platformdirs import user_config_dir

from attnviz_gui.session.files import replace_file

N_RECENT = 8
MOST_LINES = 1000
MOST_MEGABYTES = 10_000_000


@dataclass(frozen=True)
class Settings:
    """The settings and their defaults."""

    theme: str = "system"  # system, light, dark
    recent_models: tuple[str, ...] = ()
    recent_captures: tuple[str, ...] = ()
    recent_texts: tuple[str, ...] = ()
    capture_folder: str = ""
    export_folder: str = ""
    export_scale: int = 2
    color_scale: str = "linear"
    lines: str = "each query"
    n_lines: int = 20
    plane: str = "both"
    animate: bool = True
    texts_memory: int = 0  # megabytes that a capture of many texts may take; 0: a share
    explored: bool = False  # whether panels of the menu Explore were open


def settings_file() -> Path:
    """Return where the settings lie."""
    return Path(user_config_dir("attnviz", appauthor=False)) / "settings.json"


def load_settings(file: Path | None = None) -> Settings:
    """Read the settings; a missing or broken file gives the defaults."""
    try:
        data = json.loads((file or settings_file()).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Settings()
    return from_data(data) if isinstance(data, dict) else Settings()


def from_data(data: dict[str, Any]) -> Settings:
    """Return settings from JSON data; entries of an unknown name or a wrong type are left out."""
    defaults = Settings()
    known: dict[str, Any] = {}
    for entry in fields(Settings):
        value = data.get(entry.name)
        default = getattr(defaults, entry.name)
        if isinstance(default, tuple) and isinstance(value, list):
            known[entry.name] = tuple(str(item) for item in value)[:N_RECENT]
        elif type(value) is type(default):
            known[entry.name] = value
    choices = {
        "theme": ("system", "light", "dark"),
        "color_scale": ("linear", "logarithmic"),
        "lines": ("each query", "top entries", "none"),
        "plane": ("before", "after", "both"),
        "export_scale": (1, 2, 3, 4),
    }
    for name, allowed in choices.items():
        if name in known and known[name] not in allowed:
            del known[name]
    if not 1 <= known.get("n_lines", 1) <= MOST_LINES:
        del known["n_lines"]
    if not 0 <= known.get("texts_memory", 0) <= MOST_MEGABYTES:
        del known["texts_memory"]
    return Settings(**known)


def save_settings(settings: Settings, file: Path | None = None) -> None:
    """Write the settings; raises OSError where that is impossible."""
    text = json.dumps(asdict(settings), ensure_ascii=False, indent=2) + "\n"
    replace_file(file or settings_file(), text.encode())


def without(recent: tuple[str, ...], gone: str) -> tuple[str, ...]:
    """Return the list of recent entries without one of them."""
    return tuple(item for item in recent if item != gone)


def with_recent(recent: tuple[str, ...], new: str) -> tuple[str, ...]:
    """Return the list of recent entries with `new` in front."""
    return (new, *(item for item in recent if item != new))[:N_RECENT]
