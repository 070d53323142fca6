"""`sarl cameras`: which cameras are connected."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "list the connected cameras, as config/widowx.yaml names them"


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.camera.listing import list_cameras

    return list_cameras()
