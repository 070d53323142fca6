"""Builds the learner of a run folder from its settings: store, demonstrations, pool, agent, core."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch

from sarl_ros.core.prompt_pool import PromptPool
from sarl_ros.learner.core import LearnerCore, LearnerSettings
from sarl_ros.learner.episode_log import EpisodeLedger
from sarl_ros.learner.warm_start import take_over_checkpoint
from sarl_ros.methods.method import Agent, Choices
from sarl_ros.methods.preset import Preset, PresetError, load_preset
from sarl_ros.methods.registry import learns, method
from sarl_ros.parameters.sarl_learner import LearnerParameters
from sarl_ros.records.checks import check_store
from sarl_ros.records.demonstrations import episodes_of, own_entries
from sarl_ros.records.initial_entries import Opening
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.checkpoint import read_facts
from sarl_ros.store.replay_store import NoteRecord, ReplayStore, lacks_some


class LearnerError(Exception):
    """A learner cannot be set up; one line that names the thing and the remedy."""


@dataclass(frozen=True, slots=True)
class LearnerOptions:
    """What a learner is made from; the fields are the node's parameters of the same names."""

    run_dir: Path
    task: str
    run: str = ""
    agent: str = "sarl"
    preset: str = "sim"
    seed: int = 0
    seed_base: int = 0
    evaluate: bool = False
    demos: str = ""
    demo_count: int = 0
    prompts: str = ""
    checkpoint: str = ""
    weights_hash: str = ""
    warm_start: str = ""

    def __post_init__(self) -> None:
        if not self.run:
            object.__setattr__(self, "run", self.run_dir.name)

    @classmethod
    def of(cls, parameters: LearnerParameters) -> Self:
        chosen = {field.name: getattr(parameters, field.name) for field in fields(cls)}
        return cls(**chosen | {"run_dir": Path(parameters.run_dir), "run": parameters.run_name})

    @property
    def learns(self) -> bool:
        return learns(self.agent) and not self.evaluate


@dataclass(frozen=True, slots=True)
class Learner:
    """A core with what it holds open, and what had to be put right in the records, a line each."""

    core: LearnerCore
    store: ReplayStore
    ledger: EpisodeLedger
    repairs: tuple[str, ...] = ()

    def close(self) -> None:
        self.store.close()
        self.ledger.close()


def make_learner(options: LearnerOptions, on_row: Callable[[dict[str, Any]], None] | None = None) -> Learner:
    """Open the run's store, filling a new one with demonstrations, and go on where it stands.

    Raises:
        LearnerError: a setting, a file or the store is unusable.
    """
    torch.set_num_threads(1)
    try:
        preset = load_preset(options.preset)
        agent, pool = make_agent(options, preset)
        store = ReplayStore(options.run_dir, functools.partial(check_store, options.run_dir, options.run))
    except (PresetError, StoreError, ValueError) as error:
        raise LearnerError(str(error)) from error
    try:
        if not store.entries:
            _begin(store, options, preset)
        _check_same_run(store, options)
        ledger = EpisodeLedger(options.run_dir, options.seed_base, on_row)
        repairs = [store.repair, ledger.repair]
        if not lacks_some(store.entries):
            repairs += ledger.put_right(episodes_of(own_entries(store.entries, options.run)))
    except StoreError as error:
        store.close()
        raise LearnerError(str(error)) from error
    closed_pool = method(options.agent).learns and not options.learns
    settings = LearnerSettings(options.run, options.learns, options.evaluate, closed_pool)
    core = LearnerCore(store, method(options.agent), agent, preset, pool, ledger, settings)
    return Learner(core, store, ledger, tuple(filter(None, repairs)))


def make_agent(options: LearnerOptions, preset: Preset) -> tuple[Agent, PromptPool]:
    """The agent, and the pool it begins with: a checkpoint's, or an empty one.

    Raises:
        StoreError, ValueError: a file or a name is unusable.
    """
    chosen = method(options.agent)
    agent = chosen.agent(Choices(options.seed, preset, options.prompts))
    if not chosen.learns:
        return agent, PromptPool(preset.pool_capacity)
    if options.checkpoint and options.learns:
        raise ValueError("a checkpoint is for evaluation: set evaluate, or go on in the run folder it is from")
    if options.checkpoint:
        agent.load(Path(options.checkpoint))
        facts = read_facts(Path(options.checkpoint))
        return agent, PromptPool(facts["preset"]["pool_capacity"], facts["prompts"])
    if options.evaluate:
        raise ValueError(
            f"agent {options.agent} has nothing to be evaluated with: give checkpoint a file of a training run"
        )
    return agent, PromptPool(preset.pool_capacity)


def _begin(store: ReplayStore, options: LearnerOptions, preset: Preset) -> None:
    opening = Opening.of(dataclasses.asdict(options), options.run)
    entries = opening.entries(preset.pool_capacity)
    if options.learns and options.warm_start:
        take_over_checkpoint(Path(options.warm_start), options.run_dir, preset)
    store.append(*entries)


def _check_same_run(store: ReplayStore, options: LearnerOptions) -> None:
    first = store.entries[0]
    if not isinstance(first, NoteRecord):
        raise StoreError(f"{store.path} is not the store of a run: name a run folder")
    for name, value in (("run", options.run), ("task", options.task), ("agent", options.agent)):
        if first.fields.get(name) != value:
            raise StoreError(
                f"{store.path} belongs to {name} {first.fields.get(name)}, not {value}: choose another run folder"
            )
