"""Chunk playing has no velocity jump and is repeatable; going home arrives; the still policy stands still."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarl_ros.core.types import Observation
from sarl_ros.policies.chunk_player import ChunkPlayer, join, stable_seed
from sarl_ros.policies.home import HOME_POSITION_M, HOME_PROMPT, HomePolicy
from sarl_ros.policies.policy import Plan, PolicySpec
from sarl_ros.policies.still import StillPolicy
from widowx_bridge.poses import apply_delta, pose_to_vector, vector_to_pose

IMAGE = np.zeros((4, 4, 3), np.uint8)


def observation(proprio=(0.3, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 1.0)) -> Observation:
    return Observation(IMAGE, IMAGE, np.asarray(proprio, np.float32))


class Script:
    """A policy whose plan number k is the k-th of the given chunks; notes how it was asked."""

    def __init__(self, chunks) -> None:
        self.chunks = [np.asarray(chunk, np.float32) for chunk in chunks]
        self.spec = PolicySpec(chunk_size=len(self.chunks[0]), identity="script")
        self.asked: list[tuple[str, int]] = []

    def plan(self, observation, prompt, *, noise=None, seed=0):
        self.asked.append((prompt, seed))
        return Plan(self.chunks[(len(self.asked) - 1) % len(self.chunks)])


def play(player: ChunkPlayer, steps: int) -> np.ndarray:
    return np.array([player.next(observation) for _ in range(steps)])


def test_a_policy_that_agrees_with_itself_is_played_unchanged():
    path = np.sin(np.arange(20)[:, None] * 0.3 + np.arange(7)) * 0.02
    player = ChunkPlayer(Script([path[t : t + 4] for t in range(0, 16, 2)]), execute=2)
    np.testing.assert_allclose(play(player, 16), path[:16], atol=1e-7)


def largest_change(actions) -> float:
    return float(np.linalg.norm(np.diff(actions, axis=0), axis=1).max(initial=0.0))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, 4), st.floats(0, 0.02), st.floats(0, 0.1))
def test_velocity_changes_at_a_seam_by_no_more_than_within_the_plans_or_a_share_of_the_gap(
    seed, execute, overlap, change, difference
):
    random = np.random.default_rng(seed)

    def plan(start):
        return start + np.cumsum(random.uniform(-change, change, (execute + overlap, 7)), axis=0)

    old = plan(0.0)
    new = plan(old[execute - 1] + random.uniform(-difference, difference, 7))
    played = np.concatenate([old[:execute], join(old, execute, new)])
    for part in (slice(0, 3), slice(3, 6)):
        gap = np.linalg.norm(new[0, part] - old[execute - 1, part])
        allowed = max(largest_change(old[:, part]), largest_change(new[:, part]), gap / (overlap + 1))
        assert largest_change(played[:, part]) <= allowed + 1e-6
    np.testing.assert_allclose(played[execute:, 6], new[:, 6], atol=1e-7)


def test_an_even_plan_is_reached_by_the_end_of_the_overlap():
    old, new = np.zeros((4, 7)), np.full((4, 7), 0.03)
    np.testing.assert_allclose(join(old, 2, new)[:, 0], [0.01, 0.02, 0.03, 0.03], atol=1e-7)


def test_the_gripper_is_never_averaged():
    closed, opened = np.zeros((4, 7)), np.ones((4, 7))
    actions = play(ChunkPlayer(Script([closed, opened]), execute=2), 4)
    assert actions[:, 6].tolist() == [0, 0, 1, 1]
    assert 0 < actions[2, 0] < actions[3, 0] < 1


def test_a_new_prompt_starts_from_standstill():
    player = ChunkPlayer(Script([np.ones((4, 7)), np.zeros((4, 7))]), execute=3)
    player.start("lift up.", 1)
    player.next(observation)
    player.start("move left.", 2)
    np.testing.assert_array_equal(player.next(observation), np.zeros(7))


def test_a_dropped_plan_leaves_nothing_behind():
    policy = Script([np.ones((4, 7)), np.zeros((4, 7))])
    player = ChunkPlayer(policy, execute=4)
    player.next(observation)
    player.replan()
    np.testing.assert_array_equal(player.next(observation), np.zeros(7))


def test_observations_are_taken_only_when_a_plan_is_due():
    taken = []
    player = ChunkPlayer(StillPolicy(), execute=2)
    for step in range(6):
        player.next(lambda step=step: taken.append(step) or observation())
    assert taken == [0, 2, 4]


def test_the_same_seed_asks_the_policy_the_same_and_no_two_plans_share_noise():
    policies = [Script([np.zeros((4, 7))]) for _ in range(3)]
    for policy, seed in zip(policies, (5, 5, 6), strict=True):
        player = ChunkPlayer(policy, execute=2)
        player.start("open the gripper.", seed)
        play(player, 6)
    assert policies[0].asked == policies[1].asked
    assert len(set(policies[0].asked) | set(policies[2].asked)) == 6


def test_a_stable_seed_is_the_same_in_every_process():
    assert stable_seed(7, 3, 0) == 4803779714592170102
    assert stable_seed("ab", "c") != stable_seed("a", "bc")


@pytest.mark.parametrize("execute", [0, 5])
def test_execute_beyond_the_chunk_is_refused(execute):
    with pytest.raises(ValueError, match="chunk size 4"):
        ChunkPlayer(StillPolicy(), execute)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.floats(0.2, 0.4), st.floats(-0.2, 0.2), st.floats(0.02, 0.25)),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(-1.5, 1.5)),
)
def test_reset_to_home_arrives_on_a_lagging_arm_within_a_prompt(position, rotation):
    target = vector_to_pose(np.array([*position, *rotation]))
    measured = np.array([*position, *rotation])
    player = ChunkPlayer(HomePolicy(StillPolicy()), execute=2)
    player.start(HOME_PROMPT, 0)
    for _ in range(24):
        seen = observation([*measured, 0.0, 0.4])
        action = player.next(lambda seen=seen: seen)
        assert np.linalg.norm(action[:3]) <= 0.05
        assert np.linalg.norm(action[3:6]) <= 0.25
        assert action[6] == 0, "a held object stays held"
        target = apply_delta(target, measured[:3], action[:6])
        measured += 0.8 * (pose_to_vector(target) - measured)
    np.testing.assert_allclose(measured[:3], HOME_POSITION_M, atol=0.01)
    np.testing.assert_allclose(measured[3:], 0, atol=0.06)


def test_the_arm_rises_before_it_goes_home_across():
    actions = play_home([0.3, 0.2, 0.02])
    assert (actions[:2, 2] > 0.02).all()
    np.testing.assert_array_equal(actions[:2, :2], 0)


def play_home(position) -> np.ndarray:
    player = ChunkPlayer(HomePolicy(StillPolicy()), execute=4)
    player.start(HOME_PROMPT, 0)
    return np.array([player.next(lambda: observation([*position, 0, 0, 0, 0, 1])) for _ in range(4)])


def test_other_prompts_reach_the_wrapped_policy():
    policy = Script([np.full((4, 7), 0.01)])
    wrapped = HomePolicy(policy)
    np.testing.assert_array_equal(wrapped.plan(observation(), "lift up.", seed=3).actions, policy.chunks[0])
    assert policy.asked == [("lift up.", 3)]
    assert wrapped.spec == policy.spec


def test_the_home_position_is_where_the_arm_is_reset_to():
    from widowx_bridge.arm import RESET_POSITION

    assert tuple(RESET_POSITION) == HOME_POSITION_M


@pytest.mark.parametrize(("opening", "gripper"), [(1.0, 1.0), (0.4, 0.0), (0.0, 0.0)])
def test_the_still_policy_moves_nothing_and_keeps_the_gripper(opening, gripper):
    chunk = StillPolicy().plan(observation([0.3, 0, 0.1, 0, 0, 0, 0, opening]), "lift up.").actions
    np.testing.assert_array_equal(chunk[:, :6], 0)
    assert (chunk[:, 6] == gripper).all()
