"""The simulated tabletop behaves like one: it repeats itself exactly, grips by friction, and shows what is there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sarl_ros.core.task import TaskError
from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.objects import CATALOGUE, GRASPABLE
from sarl_ros.sim.rendering import RenderingError, choose_backend
from sarl_ros.sim.tasks import HOME, Jitter, Placement, SimTask, load_sim_task
from sarl_ros.sim.world import World
from widowx_bridge.arm import FINGER_CLOSED_M, FINGER_OPEN_M

LIMIT_M = 0.0006


@pytest.fixture(scope="module")
def env():
    made = TabletopEnv(render=False)
    yield made
    made.close()


def table(**settings) -> SimTask:
    return SimTask(name="table", **settings)


def holding(name: str) -> SimTask:
    place = Placement(x=0.0, y=0.0)
    return table(objects={name: place}, start=(0.30, 0.0, 0.12), held=name, jitter=Jitter(yaw_deg=15.0))


def trajectory(world: World, seed: int) -> list[np.ndarray]:
    world.reset(load_sim_task("hammer"), seed)
    start, rng, states = world.joints, np.random.default_rng(5), []
    for _ in range(12):
        world.step(start + rng.uniform(-0.1, 0.1, 6), float(rng.choice([-250.0, 250.0])))
        poses = [world.object_pose(name).ravel() for name in world.present]
        states.append(np.concatenate([world.joints, world.fingers, *poses]))
    return states


def test_same_task_seed_and_commands_give_bitwise_the_same_states():
    first, second = World(render=False), World(render=False)
    second.reset(load_sim_task("toy"), 3)
    for a, b in zip(trajectory(first, 7), trajectory(second, 7), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(trajectory(first, 8)[0], trajectory(second, 9)[0])


def test_rendering_does_not_change_what_happens():
    seen, unseen = World(render=True), World(render=False)
    for world in (seen, unseen):
        world.reset(load_sim_task("lid"), 1)
        for _ in range(3):
            world.step(world.joints + 0.02, -250.0)
            if world is seen:
                world.render("front")
    np.testing.assert_array_equal(seen.joints, unseen.joints)
    np.testing.assert_array_equal(seen.object_pose("lid"), unseen.object_pose("lid"))
    seen.close()


def test_time_goes_on_through_resets(env):
    times = [env.world.time_s]
    for seed in range(3):
        env.reset(load_sim_task("toy"), seed)
        times.append(env.world.time_s)
        env.step(np.zeros(7))
        times.append(env.world.time_s)
    assert all(later > earlier for earlier, later in itertools.pairwise(times))


def test_a_step_lasts_as_long_as_asked(env):
    env.reset(None, 0)
    before = env.world.time_s
    env.world.step(env.world.joints, 0.0, duration_s=0.012)
    assert env.world.time_s - before == pytest.approx(0.012)


def test_reset_puts_the_arm_at_rest_over_home_with_the_gripper_open(env):
    env.reset(load_sim_task("banana"), 4)
    np.testing.assert_allclose(env.world.gripper_position, HOME, atol=2e-4)
    np.testing.assert_allclose(env.world.joints, env.controller.reset_joints, atol=1e-3)
    assert np.abs(env.world.joint_velocity).max() < 1e-2
    assert env.proprio()[7] == pytest.approx(1.0, abs=0.02)


def test_the_arm_follows_joint_goals_within_a_millimetre(env):
    env.reset(None, 0)
    for delta in ([0.03, 0, 0], [0, 0.03, 0], [0, 0, -0.03], [-0.03, -0.03, 0]):
        env.step([*delta, 0, 0, 0, 1])
        assert np.abs(env.world.gripper_position - env.controller.target[:3]).max() < 1e-3


def test_fingers_stop_at_their_limits_and_move_alike(env):
    env.reset(None, 0)
    for pwm, limit in ((-350.0, FINGER_CLOSED_M), (350.0, FINGER_OPEN_M)):
        for _ in range(4):
            env.world.step(env.world.joints, pwm)
            assert abs(env.world.fingers[0] - env.world.fingers[1]) < 1e-3
        assert env.world.fingers == pytest.approx([limit, limit], abs=LIMIT_M)


def test_shoulder_current_shows_the_arms_weight(env):
    env.reset(None, 0)
    effort = env.world.joint_effort
    assert effort.shape == (6,)
    assert 100.0 < abs(effort[1]) < 1700.0
    assert abs(effort[0]) < 50.0


@pytest.mark.parametrize("name", GRASPABLE)
def test_friction_alone_holds_every_object_while_the_arm_shakes(env, name):
    env.reset(holding(name), 1)
    grip = env.world.object_position(name) - env.world.gripper_position
    for k in range(20):
        env.step([0.0, 0.02 * (-1) ** (k // 4), 0.01 * (-1) ** (k // 2), 0, 0, 0, 0])
    assert env.world.held() == name
    slip = env.world.object_position(name) - env.world.gripper_position - grip
    assert np.abs(slip).max() < 0.004


def test_an_object_falls_when_the_gripper_opens(env):
    env.reset(holding("block"), 1)
    for _ in range(4):
        env.step([0, 0, 0, 0, 0, 0, 1])
    assert env.world.held() is None
    assert env.world.object_position("block")[2] == pytest.approx(CATALOGUE["block"].rest_height, abs=0.003)


def test_an_object_that_still_lies_on_the_table_is_not_held(env):
    env.reset(table(objects={"block": Placement(x=0.30, y=0.0)}, start=(0.30, 0.0, 0.02)), 0)
    for _ in range(3):
        env.step([0, 0, 0, 0, 0, 0, 0])
    facts = env.world.facts()
    assert "block" in facts.touched
    assert facts.held is None


def test_objects_rest_where_they_are_laid(env):
    for name in ("hammer", "banana", "toy", "lid"):
        env.reset(load_sim_task(name), 2)
        before = {thing: env.world.object_position(thing) for thing in env.world.present}
        for _ in range(10):
            env.step([0, 0, 0, 0, 0, 0, 1])
        for thing, position in before.items():
            assert np.abs(env.world.object_position(thing) - position).max() < 0.004, (name, thing)


def test_what_is_not_on_the_table_has_no_pose(env):
    env.reset(load_sim_task("toy"), 0)
    with pytest.raises(KeyError, match="hammer is not on the table"):
        env.world.object_pose("hammer")


def test_a_start_out_of_reach_is_a_task_error(env):
    with pytest.raises(TaskError, match="start") as error:
        env.reset(table(objects={}, start=(0.9, 0.0, 0.1)), 0)
    assert "\n" not in str(error.value)
    env.reset(load_sim_task("toy"), 0)


def test_a_world_without_rendering_says_so(env):
    with pytest.raises(RuntimeError, match="render=True"):
        env.world.render("front")


def test_cameras_show_present_objects_only():
    world = World()
    world.reset(load_sim_task("hammer"), 0)
    front, wrist = world.render("front"), world.render("wrist")
    assert front.shape == (480, 640, 3)
    assert wrist.shape == (240, 320, 3)
    assert front.dtype == wrist.dtype == np.uint8
    assert min(world.visible("front").values()) > 40
    world.reset(None, 0)
    empty = world.render("front")
    assert np.abs(front.astype(int) - empty).max() > 50
    assert world.visible("front") == {}
    world.close()


def test_an_unusable_back_end_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(RenderingError, match=r"MUJOCO_GL=glfw.*osmesa or egl"):
        choose_backend()


def test_without_any_library_the_apt_line_is_named(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(RenderingError, match="apt install libosmesa6"):
        choose_backend()
