"""Where the configuration files lie, in the source tree or in the installed ROS package's share folder, and what of a
path is there already."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def config_dir() -> Path:
    """Folder that holds sim.yaml and tasks/.

    Raises:
        FileNotFoundError: neither the source tree nor an installed share folder has it.
    """
    source_tree = Path(__file__).resolve().parents[3] / "config"
    if (source_tree / "sim.yaml").is_file():
        return source_tree
    for prefix in [Path(sys.prefix), *Path(__file__).resolve().parents]:
        share = prefix / "share" / "sarl_ros" / "config"
        if (share / "sim.yaml").is_file():
            return share
    raise FileNotFoundError("config/sim.yaml not found: run `make setup` in the repository, or `colcon build`")


def there_of(path: Path) -> Path:
    """The path itself or the nearest folder above it that is there. Raises OSError where that cannot be told."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def unwritable(path: Path) -> str:
    """Why no file can be written in a folder that is there or could be made; empty where it can."""
    try:
        there = there_of(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not there.is_dir():
        return f"{there} is no folder"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written to"
