"""Trains the mini VLA from demonstration shards: perception, the policy on true positions, then on perception's.

A stopped run goes on where it was. The last shard trains nothing: it measures perception.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from sarl_ros.policies.mini.files import weights_hash
from sarl_ros.policies.policy import PolicyError
from sarl_ros.training.dataset import SHARDS, Shard, join, load_shard
from sarl_ros.training.fitting import Schedule
from sarl_ros.training.flow_training import train_flow
from sarl_ros.training.model_card import write_card
from sarl_ros.training.perception_training import measure_perception, train_perception

PERCEPTION_STEPS, PERCEPTION_BATCH, PERCEPTION_RATE = 8000, 32, 1.5e-3
FLOW_STEPS, FLOW_BATCH, FLOW_RATE, SEEN_RATE = 2500, 384, 1e-3, 7e-4
REPORT = "training.json"


def train(
    demos: Path,
    output: Path,
    *,
    seed: int = 0,
    perception_steps: int = PERCEPTION_STEPS,
    flow_steps: int = FLOW_STEPS,
) -> dict[str, Any]:
    """Train on the shards in `demos`; weights, report and model card go to `output`.

    Args:
        flow_steps: of each of the policy's two stages.

    Returns:
        What was trained on, the measured errors of perception, times and the hash of the weights.

    Raises:
        PolicyError: there are no demonstrations, or they are damaged.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    training, held_out = split_shards(demos)
    perception_schedule = Schedule(perception_steps, PERCEPTION_BATCH, PERCEPTION_RATE, seed)
    perception = train_perception(training, output, perception_schedule)
    perceived = time.monotonic()
    for rate, eyes in ((FLOW_RATE, None), (SEEN_RATE, perception)):
        train_flow(training, output, Schedule(flow_steps, FLOW_BATCH, rate, seed, weight_decay=1e-4, clip=1.0), eyes)
    report = {
        "weights_hash": weights_hash(output),
        "seed": seed,
        "command": f"`sarl vla-train --demos {demos} --output {output} --seed {seed}`",
        "data": describe(demos, training),
        "perception": {
            "parameters": sum(p.numel() for p in perception.net.parameters()),
            "steps": perception_steps,
            "batch": PERCEPTION_BATCH,
            "minutes": round((perceived - started) / 60, 1),
            "held_out": measure_perception(perception, held_out),
        },
        "policy": {
            "steps": 2 * flow_steps,
            "batch": FLOW_BATCH,
            "minutes": round((time.monotonic() - perceived) / 60, 1),
        },
    }
    (output / REPORT).write_text(json.dumps(report, indent=2) + "\n")
    write_card(output, report)
    return report


def split_shards(folder: Path) -> tuple[Shard, Shard]:
    """All shards but the last with frames, joined, and that one; a single shard serves as both.

    Raises:
        PolicyError: there are none, or they are damaged.
    """
    shards = [load_shard(path) for path in sorted(folder.glob(SHARDS))]
    pictured = [i for i, shard in enumerate(shards) if len(shard.front)]
    if not pictured:
        raise PolicyError(f"{folder} holds no demonstrations with images: run `sarl demos --output {folder}`")
    held_out = shards[pictured[-1]]
    return join([s for s in shards if s is not held_out] or [held_out]), held_out


def describe(folder: Path, shard: Shard) -> dict[str, Any]:
    """Counts of what was trained on."""
    return {
        "folder": str(folder),
        "episodes": len(set(shard.episode[shard.acts].tolist())),
        "states_with_actions": int(shard.acts.sum()),
        "frames": len(shard.front),
        "prompts": len(shard.prompts),
        "classes": [str(name) for name in shard.classes],
    }
