"""How long `sarl analyze` takes for 100 episodes on one core.

The run is made by repeating a recorded one (`--run`), or episodes made up here: up to 200 control steps at 5 Hz with
two 640x480 JPEG streams, the arm, heartbeats and 8 candidates a decision, some 10 MB a bag. The reference is the limit
the project sets itself, 60 s.
"""

from __future__ import annotations

import argparse
import array
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage

from sarl_interfaces import msg
from sarl_ros.core.paths import config_dir
from sarl_ros.core.types import EpisodeState, Verdict
from sarl_ros.ros import topics
from sarl_ros.runs.bringup import NODES
from sarl_ros.store.bag_writing import BagWriter
from sarl_ros.store.bags import BagReader, find_bags

REFERENCE_S = 60.0
STEPS, CONTROL_STEPS, PERIOD_NS = 8, 25, 200_000_000
BEGIN_NS = 1_800_000_000_000_000_000
RUN = "bench"
PROMPTS = [f"put the {thing} {where}." for thing in ("hammer", "spoon") for where in ("down", "up", "away", "back")]
METADATA = {"run": RUN, "config": "", "preset": (config_dir() / "agents" / "sim.yaml").read_text(), "version": "bench"}

Told = list[tuple[str, int, Any]]
"""Topic, time and message."""


def made_up_episode(success: bool) -> Told:
    """One episode from RUNNING to RESETTING, in order of time."""
    generator = np.random.default_rng(int(success))
    told: Told = []
    now_ns = BEGIN_NS

    def tell(topic: str, message: Any) -> None:
        told.append((topic, now_ns + len(told) % 1000, message))

    def state(value: EpisodeState) -> None:
        tell(topics.EPISODE, msg.Episode(run=RUN, episode=1, state=int(value), task="bench", max_steps=STEPS))

    def key(step: int) -> msg.StepKey:
        return msg.StepKey(run=RUN, episode=1, step=step)

    def result(step: int, ended: int) -> None:
        seen = msg.Observation(front=_picture(generator, 640, 480), wrist=_picture(generator, 320, 240))
        tell(
            topics.STEP_RESULT,
            msg.StepResult(key=key(step), ended=ended, control_steps=CONTROL_STEPS, observation=seen),
        )
        offered = [msg.Candidate(prompt=prompt) for prompt in PROMPTS]
        tell(topics.PROPOSAL, msg.Proposal(key=key(step), candidates=offered))

    state(EpisodeState.RUNNING)
    result(0, 0)
    last = 5 if success else STEPS
    for step in range(1, last + 1):
        values = generator.uniform(-1, 0, len(PROMPTS))
        candidates = [
            msg.Candidate(prompt=prompt, q_mean=float(value), q_std=0.05, probability=1 / len(PROMPTS))
            for prompt, value in zip(PROMPTS, values, strict=True)
        ]
        chosen = int(values.argmax())
        prompt = msg.Prompt(
            key=key(step),
            prompt=PROMPTS[chosen],
            candidates=candidates,
            chosen=chosen,
            agent="sarl",
            suitable_offered=1,
        )
        tell(topics.PROMPT, prompt)
        for control_step in range(CONTROL_STEPS):
            now_ns += PERIOD_NS
            seq = step * 100 + control_step
            tell(topics.ARM_COMMAND, msg.ArmCommand(key=key(step), seq=seq))
            tell(topics.ARM_STATE, msg.ArmState(seq=seq, accepted=True))
            for camera, size in (("front", (640, 480)), ("wrist", (640, 480))):
                tell(topics.camera_image(camera) + "/compressed", _picture(generator, *size))
            for spec in NODES:
                tell(topics.NODE_STATUS, msg.NodeStatus(node=spec.name, incarnation=spec.name, ready=True))
        result(step, 1)
        verdict = Verdict.CONTINUE if step < last else Verdict.SUCCESS if success else Verdict.TIMEOUT
        tell(topics.STEP_VERDICT, msg.StepVerdict(key=key(step), verdict=int(verdict), source="auto"))
        tell(topics.LEARNER_STATUS, msg.LearnerStatus(run=RUN, transitions=step, critic_loss=0.01, temperature=0.05))
    state(EpisodeState.SUCCESS if success else EpisodeState.TIMEOUT)
    state(EpisodeState.RESETTING)
    now_ns += 20 * PERIOD_NS
    state(EpisodeState.READY)
    return told


def _picture(generator: np.random.Generator, width: int, height: int) -> Any:
    """A JPEG of as many bytes as a camera's: smooth shapes and some noise."""
    coarse = generator.integers(0, 255, (height // 60, width // 60, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    image += generator.integers(-5, 6, image.shape, np.int16)
    _, encoded = cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return CompressedImage(format="jpeg", data=array.array("B", encoded.tobytes()))


def recorded_episodes(run: Path) -> Iterator[tuple[Told, dict[str, str]]]:
    """Each bag of a run, its messages as objects that can be changed."""
    for path in find_bags([run]):
        reader = BagReader(path)
        told = [
            (message.topic, message.time_ns, deserialize_message(message.data, _class(message.type)))
            for message in reader.messages()
        ]
        yield told, reader.metadata


def _class(name: str) -> Any:
    package, _, kind = name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)


def repeat(sources: list[tuple[Told, dict[str, str]]], episodes: int, folder: Path) -> int:
    """Write `episodes` bags, the sources again and again as one run; returns their size in bytes."""
    begin_ns = BEGIN_NS
    for number in range(1, episodes + 1):
        told, metadata = sources[(number - 1) % len(sources)]
        writer = BagWriter(folder, f"episode-{number:04d}", metadata | {"run": RUN, "episode": str(number)})
        shift_ns = begin_ns - told[0][1]
        for topic, time_ns, message in told:
            holder: Any = getattr(message, "key", message)
            if hasattr(holder, "run"):
                holder.run = RUN
            if hasattr(holder, "episode"):
                holder.episode = number
            name = f"{type(message).__module__.split('.')[0]}/msg/{type(message).__name__}"
            writer.write(topic, name, time_ns + shift_ns, serialize_message(message), [])
        writer.seal()
        begin_ns += told[-1][1] - told[0][1] + PERIOD_NS
        print(f"\r{number} of {episodes} bags written", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a recorded run to repeat (default: episodes made up here)")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave bags and report there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    options = parser.parse_args()
    if options.run:
        sources = list(recorded_episodes(options.run))
    else:
        sources = [(made_up_episode(success), METADATA) for success in (False, True)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        (folder / "bags").mkdir(parents=True)
        size = repeat(sources, options.episodes, folder / "bags")
        figures = measure(folder) | {"episodes": options.episodes, "bags_mb": round(size / 1e6)}
    print(
        f"{figures['episodes']} episodes, {figures['bags_mb']} MB of bags: {figures['seconds']:.1f} s on one core,"
        f" {figures['ratio']:.2f} of the reference of {REFERENCE_S:g} s; page {figures['page_mb']:.1f} MB,"
        f" {figures['frames']} frames"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(folder: Path) -> dict[str, Any]:
    """Seconds of the whole command in a process of its own, start included, held to one core."""
    core = min(os.sched_getaffinity(0))
    result = folder / "figures.json"
    command = [sys.executable, "-m", "sarl_ros.cli", "analyze", str(folder / "bags"), "-o", str(folder / "report")]
    started_s = time.monotonic()
    subprocess.run(
        [*command, "--json", str(result)],
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    spent_s = time.monotonic() - started_s
    found = json.loads(result.read_text())
    return {
        "seconds": round(spent_s, 1),
        "reference_s": REFERENCE_S,
        "ratio": round(spent_s / REFERENCE_S, 3),
        "page_mb": round(found["page_bytes"] / 1e6, 1),
        "frames": found["frames"],
    }


if __name__ == "__main__":
    main()
