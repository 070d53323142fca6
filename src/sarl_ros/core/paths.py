"""Where the configuration files lie: in the source tree, or in the installed ROS package's share folder."""

from __future__ import annotations

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
