"""The mini VLA: its geometry, networks, training loop and weights, and what it does with an observation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sarl_ros.policies.mini
from sarl_ros.core.types import Observation
from sarl_ros.policies.mini.files import FLOW_FILE, PERCEPTION_FILE
from sarl_ros.policies.mini.flow import (
    ACTION_SIZE,
    STATE_SIZE,
    TOKEN_SIZE,
    ActionScale,
    FlowConfig,
    FlowNet,
    object_tokens,
)
from sarl_ros.policies.mini.geometry import back_project, euler_to_matrix, project
from sarl_ros.policies.mini.keypoints import KeypointConfig, KeypointNet
from sarl_ros.policies.mini.perception import Perception, shrink
from sarl_ros.policies.mini.policy import MiniPolicy, load_flow, save_flow
from sarl_ros.policies.policy import Policy, PolicyError
from sarl_ros.policies.registry import identity, load_policy
from sarl_ros.training.dataset import Shard, join
from sarl_ros.training.fitting import Schedule, batch_indices, fit

TANGENT = torch.tensor([0.5, 0.375])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def tiny_keypoints() -> KeypointNet:
    torch.manual_seed(0)
    net = KeypointNet(KeypointConfig(("spoon", "plate"), front_channels=8, wrist_channels=8, hidden=16))
    net.front_at.copy_(torch.tensor([0.3, 0.0, 0.6]))
    return net.eval()


def tiny_shard(prompts: list[str], rows: int = 3) -> Shard:
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    return Shard(
        proprio=zeros(rows, 8),
        position=zeros(rows, 2, 3),
        heading=zeros(rows, 2, 2),
        present=np.ones((rows, 2), bool),
        held=np.full(rows, -1),
        action=zeros(rows, 4, 7),
        acts=np.ones(rows, bool),
        prompt=np.arange(rows) % len(prompts),
        skill=np.zeros(rows, np.int64),
        episode=np.zeros(rows, np.int64),
        wrist_position=zeros(rows, 3),
        wrist_rotation=zeros(rows, 3, 3),
        front=np.zeros((1, 96, 128, 3), np.uint8),
        wrist=np.zeros((1, 60, 80, 3), np.uint8),
        frame_row=np.array([rows - 1]),
        prompts=np.array(prompts),
        skills=np.array(["grasp"]),
        classes=np.array(["spoon", "plate"]),
        codes=zeros(2, 6),
        front_position=zeros(3),
        front_rotation=zeros(3, 3),
        front_tangent=zeros(2),
        wrist_tangent=zeros(2),
    )


def test_back_projection_undoes_projection() -> None:
    rotation = euler_to_matrix(torch.tensor([0.2, -0.1, 0.4]))
    position = torch.tensor([0.1, -0.2, 0.8])
    points = torch.rand(50, 3) * torch.tensor([0.2, 0.2, 0.1])
    u, v, depth = project(points, position, rotation, TANGENT)
    again = back_project(u, v, points[:, 2], position, rotation, TANGENT)
    assert (depth > 0.5).all()
    torch.testing.assert_close(again, points, atol=1e-5, rtol=0)


def test_back_projection_of_a_ray_to_the_sky_is_finite() -> None:
    up = back_project(torch.tensor(0.0), torch.tensor(-5.0), torch.tensor(0.0), torch.ones(3), torch.eye(3), TANGENT)
    assert torch.isfinite(up).all()


def test_euler_angles_turn_as_the_bridge_convention_does() -> None:
    from widowx_bridge.poses import rpy_to_rotation

    rpy = [0.3, -0.7, 1.1]
    np.testing.assert_allclose(euler_to_matrix(torch.tensor(rpy)).numpy(), rpy_to_rotation(rpy), atol=1e-6)


def test_heat_map_target_is_a_distribution_and_invisible_goes_to_the_null_slot() -> None:
    view = tiny_keypoints().front
    uv = torch.tensor([[0.2, -0.4]])
    target = view.target(uv, uv, torch.tensor([[True, False]]))
    torch.testing.assert_close(target.sum(-1), torch.ones(1, 2))
    assert target[0, 1, -1] == 1
    assert target[0, 0, -1] == 0
    mean_u = (target[0, 0, :-1] * view.grid_u).sum()
    assert abs(float(mean_u) - 0.2) < 2 / view.columns


def test_keypoints_have_one_finite_row_a_class() -> None:
    net = tiny_keypoints()
    out = net(torch.zeros(2, 3, 96, 128, dtype=torch.uint8), torch.zeros(2, 3, 60, 80), torch.zeros(2, 8))
    assert out.position.shape == (2, 2, 3)
    assert all(torch.isfinite(x).all() for x in out)


def test_flow_policy_does_not_see_absent_objects() -> None:
    torch.manual_seed(0)
    net = FlowNet(FlowConfig()).eval()
    text, tokens, state = torch.randn(1, 384), torch.randn(1, 5, TOKEN_SIZE), torch.randn(1, STATE_SIZE)
    absent = torch.tensor([[False, True, False, False, True]])
    changed = torch.where(absent[..., None], tokens + 3, tokens)
    torch.testing.assert_close(net.context(text, tokens, absent, state), net.context(text, changed, absent, state))


def test_flow_policy_does_not_care_for_the_order_of_objects() -> None:
    torch.manual_seed(0)
    net = FlowNet(FlowConfig()).eval()
    text, tokens, state = torch.randn(1, 384), torch.randn(1, 5, TOKEN_SIZE), torch.randn(1, STATE_SIZE)
    absent, order = torch.tensor([[False, True, False, False, True]]), torch.tensor([3, 1, 4, 0, 2])
    a = net.context(text, tokens, absent, state)
    b = net.context(text, tokens[:, order], absent[:, order], state)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_tokens_of_objects_move_with_table_and_gripper() -> None:
    position, codes = torch.tensor([[[0.3, 0.0, 0.02]]]), torch.ones(1, 6)
    token = object_tokens(position, torch.zeros(1, 1), codes, torch.tensor([[0.3, 0.0, 0.02]]))
    assert token.shape == (1, 1, TOKEN_SIZE)
    torch.testing.assert_close(token[0, 0, :6], torch.zeros(6))
    torch.testing.assert_close(token[0, 0, -6:], codes[0])


def test_a_dimension_the_demonstrations_never_move_stays_constant() -> None:
    actions = torch.randn(100, 7) * 0.02
    actions[:, 3:6] = 0.0
    actions[:, 6] = (actions[:, 6] > 0).float()
    scale = ActionScale()
    scale.fit(actions)
    torch.testing.assert_close(scale.denormalise(scale.normalise(actions)), actions, atol=1e-6, rtol=0)
    assert (scale.denormalise(torch.randn(50, 7))[:, 3:6] == 0).all()


def test_an_epoch_shows_every_sample_once() -> None:
    seen = torch.cat([batch_indices(step, 12, 4, seed=3) for step in range(3)])
    assert sorted(seen.tolist()) == list(range(12))
    assert not torch.equal(batch_indices(0, 12, 4, 3), batch_indices(3, 12, 4, 3))


def train_line(folder: Path, stop_after: int | None) -> torch.Tensor:
    torch.manual_seed(0)
    net, x = nn.Linear(3, 1), torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    steps = 0

    def loss_of(index: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        if steps == stop_after:
            raise KeyboardInterrupt
        steps += 1
        return ((net(x[index]) - x[index].sum(1, keepdim=True) + 0.1 * torch.randn(1)) ** 2).mean()

    schedule = Schedule(steps=30, batch=8, learning_rate=0.05, warmup=5, save_every=10)
    mean = fit(net, loss_of, len(x), schedule, folder / "line.checkpoint", lambda mean: None)
    return torch.cat([p.detach().flatten() for p in mean.parameters()])


def test_training_resumed_after_a_kill_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole = train_line(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        train_line(tmp_path / "cut", 17)
    assert torch.equal(train_line(tmp_path / "cut", None), whole)


def test_joined_shards_keep_each_row_with_its_prompt_and_frame() -> None:
    joined = join([tiny_shard(["move left.", "lift."]), tiny_shard(["grasp the spoon.", "lift."])])
    words = [str(joined.prompts[i]) for i in joined.prompt]
    assert words == ["move left.", "lift.", "move left.", "grasp the spoon.", "lift.", "grasp the spoon."]
    assert joined.frame_row.tolist() == [2, 5]


def test_weights_survive_the_disk(tmp_path: Path) -> None:
    net, scale = FlowNet(FlowConfig(width=32, heads=2)), ActionScale()
    save_flow(tmp_path, net, scale)
    again, _ = load_flow(tmp_path)
    assert again.config == net.config
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    keypoints = tiny_keypoints()
    Perception(keypoints, torch.ones(2, 6)).save(tmp_path)
    loaded = Perception.load(tmp_path)
    assert loaded.classes == ("spoon", "plate")
    assert torch.equal(loaded.net.front_at, keypoints.front_at)


def test_missing_or_damaged_weights_are_one_line_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="vla-train") as missing:
        load_policy(tmp_path / "nowhere")
    (tmp_path / PERCEPTION_FILE).write_bytes(b"\x00" * 100)
    (tmp_path / FLOW_FILE).write_bytes(b"")
    with pytest.raises(PolicyError, match="damaged") as damaged:
        MiniPolicy.load(tmp_path)
    assert "\n" not in str(missing.value) + str(damaged.value)


def test_images_of_another_shape_are_refused() -> None:
    assert shrink(np.full((480, 640, 3), 7, np.uint8), (128, 96)).shape == (96, 128, 3)
    with pytest.raises(ValueError, match="4:3"):
        shrink(np.zeros((360, 640, 3), np.uint8), (128, 96))
    with pytest.raises(ValueError, match="uint8"):
        shrink(np.zeros((480, 640, 3), np.float32), (128, 96))  # type: ignore[arg-type]


def test_action_size_is_the_bridge_action() -> None:
    assert ACTION_SIZE == 7


@pytest.fixture(scope="module")
def mini() -> Policy:
    torch.set_num_threads(1)
    return load_policy("mini")


def seen(seed: int = 0) -> Observation:
    rng = np.random.default_rng(seed)
    return Observation(
        rng.integers(0, 255, (480, 640, 3), np.uint8),
        rng.integers(0, 255, (240, 320, 3), np.uint8),
        np.array([0.3, 0, 0.13, 0, 0, 0, 0, 1], np.float32),
    )


def test_the_shipped_policy_is_a_function_of_observation_prompt_and_seed(mini: Policy) -> None:
    chunk = mini.plan(seen(), "grasp the mushroom.", seed=3).actions
    assert chunk.shape == (mini.spec.chunk_size, 7)
    assert chunk.dtype == np.float32
    assert np.array_equal(chunk, mini.plan(seen(), "Grasp  the mushroom", seed=3).actions)
    assert not np.array_equal(chunk, mini.plan(seen(), "grasp the mushroom.", seed=4).actions)
    assert not np.array_equal(chunk, mini.plan(seen(), "move up.", seed=3).actions)


def test_the_shipped_policy_opens_or_closes_and_does_not_turn_the_gripper(mini: Policy) -> None:
    chunks = np.concatenate([mini.plan(seen(i), "close the gripper.", seed=i).actions for i in range(5)])
    assert set(chunks[:, 6]) <= {0.0, 1.0}
    assert (chunks[:, 3:6] == 0).all()


@pytest.mark.parametrize("prompt", ["", "  . ", "grasp " * 2000])
def test_an_empty_or_endless_prompt_is_refused(mini: Policy, prompt: str) -> None:
    with pytest.raises(ValueError, match="prompt"):
        mini.plan(seen(), prompt)


def test_the_policy_s_code_holds_no_object_s_name() -> None:
    folder = Path(sarl_ros.policies.mini.__file__).parent
    for module in ("flow", "policy", "perception", "keypoints", "text"):
        words = (folder / f"{module}.py").read_text().lower()
        assert not any(name in words for name in ("hammer", "mushroom", "banana", "spoon", "plate"))


def test_noise_steers_the_plan_and_the_seed_is_no_other_noise(mini: Policy) -> None:
    shape = mini.spec.noise_shape
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    plan = mini.plan(seen(), "grasp the mushroom.", noise=noise, seed=1)
    assert np.array_equal(plan.actions, mini.plan(seen(), "grasp the mushroom.", noise=noise, seed=2).actions)
    assert not np.array_equal(plan.actions, mini.plan(seen(), "grasp the mushroom.", noise=-noise).actions)
    assert plan.features is not None
    assert plan.features.shape == (mini.spec.feature_size,)
    with pytest.raises(ValueError, match=r"noise of shape \(3,\)"):
        mini.plan(seen(), "grasp the mushroom.", noise=np.zeros(3, np.float32))


def test_what_names_the_weights_is_known_without_loading_them(mini: Policy) -> None:
    code = (
        "import sys; from sarl_ros.policies.registry import identity; print(identity('mini'), identity('still'));"
        "print({'torch', 'mujoco', 'rclpy'} & sys.modules.keys())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert answer[0] == mini.spec.identity
    assert answer[1] == load_policy("still").spec.identity != answer[0]
    assert answer[2] == "set()"


@pytest.mark.parametrize("name", ["nope", "nope://host:1", "mini2"])
def test_a_policy_that_there_is_not_is_refused_with_those_that_there_are(name: str) -> None:
    for ask in (load_policy, identity):
        with pytest.raises(PolicyError, match=f"policy {name}: there is none: choose mini, still"):
            ask(name)
