"""Which code and which settings a run used, as texts that a bag keeps."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from sarl_ros.core.yaml_file import load_yaml
from sarl_ros.methods.preset import preset_path
from sarl_ros.records.initial_entries import BEGUN_WITH, Opening
from sarl_ros.store.sealed_text import read_sealed

GIT_TIMEOUT_S = 5.0


def git_revision() -> str:
    """Commit of the source tree that runs, `-dirty` if it was changed since; empty where there is none."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no git, or no repository: an installed package
        return ""
    return answer.stdout.strip()


def describe_run(folder: Path) -> dict[str, str]:
    """run, config, preset, version and git of the run in `folder`, and the hash of the file that it begins with.

    Raises:
        OSError, StoreError: its config.yaml or the preset's file cannot be read.
    """
    config = read_sealed(folder / "config.yaml")
    tree: dict[str, Any] = load_yaml(config, folder / "config.yaml") or {}
    learner = tree.get("sarl_learner", {}).get("ros__parameters", {})
    preset, run = learner.get("preset", ""), learner.get("run") or folder.name
    return {
        "run": run,
        "config": config,
        "preset": preset_path(preset).read_text() if preset else "",
        "version": metadata.version("sarl_ros"),
        "git": git_revision(),
        BEGUN_WITH: Opening.of(learner, run).digest() if learner else "",
    }
