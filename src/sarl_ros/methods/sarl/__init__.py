"""Semantic Action RL (arXiv 2606.31958): a critic over (state, prompt), softmax of its values, TD backups."""

from __future__ import annotations

from pathlib import Path

from sarl_ros.methods.method import Agent, Choices, Counts, Learning, Method
from sarl_ros.methods.preset import Preset


def _agent(choices: Choices) -> Agent:
    from sarl_ros.methods.sarl.agent import SarlAgent
    from sarl_ros.methods.sarl.training import make_critics

    return SarlAgent(make_critics(choices.preset, choices.preset.start_bias), choices.seed)


def _learning(run_folder: Path, preset: Preset, seed: int, keep_every: int) -> Learning:
    from sarl_ros.methods.sarl.training import Training

    return Training(run_folder, preset, seed, keep_every)


def _owed(preset: Preset, counts: Counts) -> int:
    """Some once for demonstrations, and the same number for each decision."""
    extra = preset.demonstration_updates if counts.demonstrated else 0
    return (counts.updates_before or extra) + preset.updates_per_decision * counts.transitions


METHOD = Method(_agent, _learning, _owed)
