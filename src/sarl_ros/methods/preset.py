"""Presets of learning methods: one YAML file under config/agents each, every value read and checked here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sarl_ros.core.paths import config_dir


class PresetError(Exception):
    """A preset cannot be used; one line that names the file, the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Hyper-parameters; the comments in config/agents/*.yaml say where each value is from.

    Attributes:
        horizon: H, decisions in an episode; gives gamma = 1 - 1/H and the reward -1/H.
        candidates: prompts asked of the proposer for a decision, at most.
        pool_capacity: K, rows of the one-hot.
        critics, hidden, strides: sizes of the networks.
        learning_rate, polyak, batch: of an update.
        updates_per_decision: owed for every decision that became a transition.
        demonstration_updates: owed once where there are demonstrations, before the first episode.
        crop_pixels: margin of the random crop.
        temperature, final_temperature, anneal_episodes: T of softmax(Q / T), geometric from the first to the second.
        start_bias: value that the critics start near without demonstrations.
    """

    horizon: int
    candidates: int
    pool_capacity: int
    critics: int
    hidden: int
    strides: tuple[int, ...]
    learning_rate: float
    polyak: float
    batch: int
    updates_per_decision: int
    demonstration_updates: int
    crop_pixels: int
    temperature: float
    final_temperature: float
    anneal_episodes: int
    start_bias: float

    def temperature_after(self, episodes: int) -> float:
        """T once `episodes` episodes have been learned from."""
        if self.anneal_episodes == 0:
            return self.temperature
        share = min(1.0, episodes / self.anneal_episodes)
        return self.temperature * (self.final_temperature / self.temperature) ** share


MAY_BE_ZERO = ("demonstration_updates", "crop_pixels", "anneal_episodes", "updates_per_decision")


def preset_path(name: str) -> Path:
    """The file of the preset of that name, or the path that `name` is."""
    return Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "agents" / f"{name}.yaml"


def load_preset(name: str) -> Preset:
    """The preset of that name, or of the file at that path.

    Raises:
        PresetError: there is none, or a value is missing, unknown or out of range.
    """
    path = preset_path(name)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in (config_dir() / "agents").glob("*.yaml")))
        raise PresetError(f"preset {name}: no file {path}; choose one of {known} or give a path")
    return parse_preset(path.read_text(), str(path))


def parse_preset(text: str, source: str) -> Preset:
    """The preset of a YAML text; `source` names it in errors.

    Raises:
        PresetError: a value is missing, unknown or out of range.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PresetError(f"{source}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise PresetError(f"{source}: not a mapping of names to values")
    fields = {field.name: field for field in dataclasses.fields(Preset)}
    if missing := sorted(fields.keys() - tree.keys()):
        raise PresetError(f"{source}: {', '.join(missing)} missing: copy the line from another preset")
    if unknown := sorted(tree.keys() - fields.keys()):
        raise PresetError(f"{source}: unknown setting {', '.join(map(str, unknown))}: delete it")
    return Preset(**{name: _checked(source, name, str(fields[name].type), tree[name]) for name in fields})


def _checked(source: str, name: str, kind: str, value: Any) -> Any:
    if kind.startswith("tuple"):
        if isinstance(value, list) and value and all(isinstance(item, int) and item > 0 for item in value):
            return tuple(value)
        raise PresetError(f"{source}: {name} is {value!r}: give a list of positive whole numbers")
    if isinstance(value, bool) or not isinstance(value, int if kind == "int" else (int, float)):
        raise PresetError(f"{source}: {name} is {value!r}: give a {'whole number' if kind == 'int' else 'number'}")
    if name == "start_bias":
        return float(value)
    if value < 0 or (value == 0 and name not in MAY_BE_ZERO):
        raise PresetError(f"{source}: {name} is {value}: must be {'0 or more' if name in MAY_BE_ZERO else 'above 0'}")
    return int(value) if kind == "int" else float(value)
