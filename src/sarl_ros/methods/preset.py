"""Presets of learning methods: one YAML file under config/agents each, every value read and checked here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sarl_ros.core.paths import config_dir
from sarl_ros.core.task import MAX_STEPS
from sarl_ros.core.yaml_file import FileModel, YamlError, load_yaml, read_text


class PresetError(Exception):
    """A preset cannot be used; one line that names the file, the value and the remedy."""


Size = Annotated[int, Field(ge=1, le=100_000)]
Temperature = Annotated[float, Field(gt=0, le=1000)]


class Preset(FileModel):
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

    horizon: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    candidates: Annotated[int, Field(ge=1, le=1000)]
    pool_capacity: Size
    critics: Annotated[int, Field(ge=1, le=100)]
    hidden: Annotated[int, Field(ge=1, le=8192)]
    strides: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=1, max_length=8)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    polyak: Annotated[float, Field(gt=0, le=1)]
    batch: Annotated[int, Field(ge=1, le=65_536)]
    updates_per_decision: Annotated[int, Field(ge=0, le=10_000)]
    demonstration_updates: Annotated[int, Field(ge=0, le=1_000_000)]
    crop_pixels: Annotated[int, Field(ge=0, le=32)]
    temperature: Temperature
    final_temperature: Temperature
    anneal_episodes: Annotated[int, Field(ge=0, le=1_000_000)]
    start_bias: Annotated[float, Field(ge=-1000, le=1000)]

    def temperature_after(self, episodes: int) -> float:
        """T once `episodes` episodes have been learned from."""
        if self.anneal_episodes == 0:
            return self.temperature
        share = min(1.0, episodes / self.anneal_episodes)
        return self.temperature * (self.final_temperature / self.temperature) ** share


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
    try:
        return parse_preset(read_text(path, "preset"), str(path))
    except YamlError as error:
        raise PresetError(str(error)) from None


def parse_preset(text: str, source: str) -> Preset:
    """The preset of a YAML text; `source` names it in errors.

    Raises:
        PresetError: a value is missing, unknown or out of range.
    """
    try:
        return Preset.of(load_yaml(text, source), source)
    except YamlError as error:
        raise PresetError(str(error)) from None
