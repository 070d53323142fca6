"""Where the mini VLA's weights lie, and what names them; nothing is loaded for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sarl_ros.policies.policy import PolicyError

SHIPPED = Path(__file__).parent / "weights"
PERCEPTION_FILE = "perception.safetensors"
FLOW_FILE = "flow.safetensors"


def folder_of(name: str) -> Path:
    """Of the weights "mini", or the folder that `name` is."""
    return SHIPPED if name == "mini" else Path(name)


def weights_hash(folder: Path) -> str:
    """sha256 (hex) over the weight files of a folder, in the order of their names.

    Raises:
        PolicyError: one is missing.
    """
    digest = hashlib.sha256()
    for name in sorted((PERCEPTION_FILE, FLOW_FILE)):
        try:
            digest.update(name.encode() + b"\0" + (folder / name).read_bytes())
        except OSError as error:
            raise PolicyError(
                f"{folder / name} is missing ({error.strerror}): run `sarl vla-train`, or restore the shipped weights"
            ) from None
    return digest.hexdigest()
