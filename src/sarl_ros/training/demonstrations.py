"""Demonstrations of atomic skills by the scripted expert, with perturbed execution, as shards for training.

One pass collects both trainings' data: every state with the expert's next actions, camera frames of a part of them,
and still scenes that show perception every object from everywhere.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sarl_ros.core.processes import be_killed_with
from sarl_ros.core.task import TaskError
from sarl_ros.policies.mini.perception import shrink
from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.expert import act
from sarl_ros.sim.objects import CATALOGUE
from sarl_ros.sim.random_scenes import CLASSES, RandomScenes
from sarl_ros.sim.rendering import CameraRenderer
from sarl_ros.sim.scene import CAMERAS, build_model
from sarl_ros.sim.skills import KINDS, Skill, Trial, before, phrases, sample_skill, succeeded
from sarl_ros.training.dataset import Shard
from widowx_bridge.arm import ArmController
from widowx_bridge.safety import Refused

CHUNK = 4
STEPS = {"grasp": 24, "grasp_below": 24, "place": 24, "transfer": 46}
OTHER_STEPS = 12
NOISE_SHARE, NOISE_SIGMA_M, FLIP_SHARE = 0.6, 0.012, 0.02
FRAME_SHARE = 0.4
EPISODES_PER_SHARD = 150
SCENES_PER_SHARD = 1200
FRONT_SIZE, WRIST_SIZE = (128, 96), (80, 60)
FRONT_RENDER_ROWS = 240
"""Frames are averaged down from 320 x 240: it costs half of 640 x 480 and differs by less than one grey level."""

Row = dict[str, Any]
Frame = tuple[NDArray[np.uint8], NDArray[np.uint8], int]


def generate(
    folder: Path, *, episodes: int = 3000, seed: int = 0, workers: int = 2, images: bool = True
) -> dict[str, Any]:
    """Write demonstration shards into `folder`; shards that are there already are kept, so a stopped run goes on.

    Args:
        images: False leaves all camera frames out, for the policy's training alone: three times as fast.

    Returns:
        Counts of the run, and the expert's success by kind of skill.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    count = -(-episodes // EPISODES_PER_SHARD)
    jobs = []
    for i in range(count):
        path = folder / f"shard-{seed:04d}-{i:04d}.npz"
        if not path.exists():
            share = min(EPISODES_PER_SHARD, episodes - i * EPISODES_PER_SHARD)
            jobs.append((path, share, seed * 10_000 + i, images))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    frames = states = 0
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(
            min(workers, len(jobs) or 1), mp_context=spawn, initializer=be_killed_with, initargs=(os.getpid(),)
        ) as pool,
        tqdm(total=episodes, initial=episodes - sum(job[1] for job in jobs), desc="demonstrations", unit="ep") as bar,
    ):
        for future in as_completed([pool.submit(make_shard, *job) for job in jobs]):
            result = future.result()
            frames, states = frames + result["frames"], states + result["states"]
            for kind, (done, tried) in result["expert"].items():
                counts[kind][0] += done
                counts[kind][1] += tried
            bar.update(result["episodes"])
    report = {
        "folder": str(folder),
        "episodes": episodes,
        "new_states": states,
        "new_frames": frames,
        "seconds": round(time.monotonic() - started, 1),
        "expert_success": {kind: round(done / tried, 3) for kind, (done, tried) in sorted(counts.items())},
    }
    (folder / "demos.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def make_shard(path: Path, episodes: int, seed: int, images: bool = True) -> dict[str, Any]:
    """Demonstrate `episodes` skills and draw still scenes in proportion; write the shard."""
    rng = np.random.default_rng([seed, 7])
    env = TabletopEnv(render=images)
    rows: list[Row] = []
    frames: list[Frame] = []
    expert: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for episode in range(episodes):
        skill, done = _demonstrate(env, rng, rows, frames if images else None, seed * 1000 + episode)
        expert[skill.kind][0] += done
        expert[skill.kind][1] += 1
    env.close()
    scenes = round(SCENES_PER_SHARD * episodes / EPISODES_PER_SHARD) if images else 0
    for row, front, wrist in _still_scenes(scenes, rng):
        frames.append((front, wrist, len(rows)))
        rows.append(row)
    pack(rows, frames).save(path)
    return {"episodes": episodes, "states": len(rows), "frames": len(frames), "expert": dict(expert)}


def start_trial(env: TabletopEnv, rng: np.random.Generator, kind: str | None = None) -> Trial:
    """Draw trials until one's scene can be laid out, and lay it out."""
    while True:
        try:
            trial = sample_skill(rng, kind)
            env.reset(trial.task, int(rng.integers(2**31)))
        except TaskError:
            continue
        if trial.skill.kind == "open" and trial.task.held is None:
            env.step(np.zeros(7))
        return trial


def _demonstrate(
    env: TabletopEnv, rng: np.random.Generator, rows: list[Row], frames: list[Frame] | None, episode: int
) -> tuple[Skill, bool]:
    trial = start_trial(env, rng)
    skill, prompt = trial.skill, str(rng.choice(phrases(trial.skill)))
    start, steps = before(env.world), STEPS.get(skill.kind, OTHER_STEPS)
    actions, first, done = [], len(rows), False
    for step in range(steps + CHUNK - 1):
        action = act(env, skill)
        actions.append(action)
        if step < steps:
            rows.append(_row(env) | {"prompt": prompt, "skill": skill.kind, "episode": episode})
            if frames is not None and rng.random() < FRAME_SHARE:
                front = env.world.render_at("front", FRONT_RENDER_ROWS, FRONT_RENDER_ROWS * 4 // 3)
                frames.append((shrink(front, FRONT_SIZE), shrink(env.world.render("wrist"), WRIST_SIZE), len(rows) - 1))
        try:
            env.step(_perturb(action, rng))
        except Refused:
            pass  # The arm holds for this period; the expert goes on from where it is.
        done = done or succeeded(skill, env.world, start)
    for k, row in enumerate(rows[first:]):
        row["action"] = np.stack(actions[k : k + CHUNK])
    return skill, done


def _perturb(action: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """What is executed: the states that follow show the policy how the expert recovers."""
    action = action.copy()
    if rng.random() < NOISE_SHARE:
        action[:3] += rng.normal(0.0, NOISE_SIGMA_M, 3)
    if rng.random() < FLIP_SHARE:
        action[6] = 1 - action[6]
    return action


def _row(env: TabletopEnv) -> Row:
    world = env.world
    model, data = world.model, world.data
    held = world.held()
    present = np.array([name in world.present for name in CLASSES])
    return _true_state(model, data, present, CLASSES.index(held) if held else -1) | {"proprio": env.proprio()}


def _true_state(model: mujoco.MjModel, data: mujoco.MjData, present: NDArray[np.bool_], held: int) -> Row:
    bodies = [model.body(name).id for name in CLASSES]
    axes = data.xmat[bodies].reshape(-1, 3, 3)[:, :2, 0]
    camera = model.camera("wrist").id
    return {
        "position": data.xpos[bodies] * present[:, None],
        "heading": axes / np.linalg.norm(axes, axis=1, keepdims=True).clip(1e-6) * present[:, None],
        "present": present.copy(),
        "held": held,
        "wrist_position": data.cam_xpos[camera].copy(),
        "wrist_rotation": data.cam_xmat[camera].reshape(3, 3).copy(),
    }


def _still_scenes(count: int, rng: np.random.Generator) -> Iterator[tuple[Row, NDArray[np.uint8], NDArray[np.uint8]]]:
    model = build_model()
    scenes, renderer, controller = RandomScenes(model, rng), CameraRenderer(model), ArmController()
    for _ in range(count):
        scenes.draw()
        front = renderer.render(scenes.data, "front", FRONT_RENDER_ROWS, FRONT_RENDER_ROWS * 4 // 3)
        wrist = renderer.render(scenes.data, "wrist", *CAMERAS["wrist"])
        row = _true_state(model, scenes.data, scenes.present, scenes.held)
        row["proprio"] = controller.proprio(scenes.joints, scenes.finger_m)
        yield row, shrink(front, FRONT_SIZE), shrink(wrist, WRIST_SIZE)
    renderer.close()


def pack(rows: list[Row], frames: list[Frame]) -> Shard:
    """Rows and frames as one shard, with the codes and the calibration of the present catalogue and scene."""
    model = build_model()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    prompts = sorted({row["prompt"] for row in rows if "prompt" in row}) or [""]
    front = model.camera("front").id

    def column(name: str, dtype: type, default: Any = None) -> NDArray[Any]:
        return np.array([row.get(name, default) for row in rows], dtype)

    return Shard(
        **{name: column(name, np.float32) for name in ("proprio", "position", "heading")},
        present=column("present", bool),
        held=column("held", np.int64),
        action=column("action", np.float32, np.zeros((CHUNK, 7))),
        acts=np.array(["action" in row for row in rows]),
        prompt=np.array([prompts.index(row.get("prompt", prompts[0])) for row in rows], np.int64),
        skill=np.array([KINDS.index(row["skill"]) if "skill" in row else -1 for row in rows], np.int64),
        episode=column("episode", np.int64, -1),
        wrist_position=column("wrist_position", np.float32),
        wrist_rotation=column("wrist_rotation", np.float32),
        front=np.array([f[0] for f in frames], np.uint8).reshape(-1, FRONT_SIZE[1], FRONT_SIZE[0], 3),
        wrist=np.array([f[1] for f in frames], np.uint8).reshape(-1, WRIST_SIZE[1], WRIST_SIZE[0], 3),
        frame_row=np.array([f[2] for f in frames], np.int64),
        prompts=np.array(prompts),
        skills=np.array(KINDS),
        classes=np.array(CLASSES),
        codes=appearance_codes(model),
        front_position=data.cam_xpos[front].astype(np.float32),
        front_rotation=data.cam_xmat[front].reshape(3, 3).astype(np.float32),
        front_tangent=_tangent(model, "front"),
        wrist_tangent=_tangent(model, "wrist"),
    )


def _tangent(model: mujoco.MjModel, camera: str) -> NDArray[np.float32]:
    height, width = CAMERAS[camera]
    vertical = np.tan(np.radians(model.cam_fovy[model.camera(camera).id]) / 2)
    return np.array([vertical * width / height, vertical], np.float32)


def appearance_codes(model: mujoco.MjModel) -> NDArray[np.float32]:
    """What each class looks like, (K, 6): mean colour, weighted by surface, and half extents in decimetres."""
    codes = []
    for name in CATALOGUE:
        body = model.body(name)
        geoms = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
        colours = np.array([model.geom_rgba[g, :3] for g in geoms])
        surface = np.array([model.geom_rbound[g] ** 2 for g in geoms])
        boxes = []
        for g in geoms:
            turn = np.zeros(9)
            mujoco.mju_quat2Mat(turn, model.geom_quat[g])
            centre = model.geom_pos[g] + turn.reshape(3, 3) @ model.geom_aabb[g, :3]
            reach = np.abs(turn.reshape(3, 3)) @ model.geom_aabb[g, 3:]
            boxes.append((centre - reach, centre + reach))
        low, high = np.min([b[0] for b in boxes], 0), np.max([b[1] for b in boxes], 0)
        codes.append([*(surface @ colours / surface.sum()), *(high - low) / 2 * 10])
    return np.array(codes, np.float32)
