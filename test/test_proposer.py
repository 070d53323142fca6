"""What the scene proposer says about tables that a perception reports."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.proposal import PromptRequest
from sarl_ros.core.types import Observation
from sarl_ros.proposers.proposer import ProposerError
from sarl_ros.proposers.scene.grammar import Family, ideas
from sarl_ros.proposers.scene.language import parse_task
from sarl_ros.proposers.scene.proposer import SceneProposer
from sarl_ros.proposers.scene.scene_state import look, looks_done, meant_by
from sarl_ros.proposers.scene.words import phrase

ROOT = Path(__file__).parents[1]
HAMMER = "move the hammer to the plate, then grasp the mushroom"
TABLE = {
    "hammer": (0.30, 0.0, 0.01),
    "spoon": (0.36, 0.13, 0.01),
    "mushroom": (0.25, -0.13, 0.02),
    "plate": (0.38, -0.10, 0.0),
    "towel": (0.23, 0.11, 0.0),
}
TOYS = {
    "toy_blue": (0.26, -0.11, 0.02),
    "toy_pink": (0.26, 0.10, 0.02),
    "bowl_small": (0.38, 0.10, 0.0),
    "bowl_large": (0.38, -0.10, 0.0),
}
BLANK = np.zeros((3, 4, 3), np.uint8)


@dataclass(frozen=True)
class Found:
    name: str
    position: np.ndarray
    confidence: float = 1.0


@dataclass
class FakePerception:
    table: dict[str, tuple[float, float, float]]

    def detect(self, front, wrist, proprio):
        return [Found(name, np.array(position, np.float32)) for name, position in self.table.items()]


def seen(gripper=(0.30, 0.0, 0.13), opening=1.0):
    return Observation(BLANK, BLANK, np.array([*gripper, 0, 0, 0, 0, opening], np.float32))


def propose(task, table, observation=None, history=(), pool=(), pool_frozen=False, count=8):
    proposer = SceneProposer(FakePerception(table))
    return proposer.propose(PromptRequest(task, observation or seen(), tuple(history), tuple(pool), pool_frozen, count))


def holding(table, name, at=(0.33, 0.05, 0.12)):
    return {**table, name: at}, seen(gripper=at, opening=0.4)


def situation_of(table, observation=None):
    observation = observation or seen()
    return look(FakePerception(table).detect(None, None, None), observation.proprio)


@pytest.mark.parametrize(
    ("task", "goals"),
    [
        (HAMMER, [("hammer", "plate", ""), ("mushroom", None, "")]),
        (
            "Move the banana to the pot on the right and sushi to the bowl.",
            [("banana", "pot", ""), ("sushi", "bowl", "")],
        ),
        ("put the banana and the sushi in the bowl", [("banana", "bowl", "in"), ("sushi", "bowl", "in")]),
        ("grasp the cup and place it on top of the plate", [("cup", "plate", "on")]),
        ("pick up the spoon on the left", [("spoon", None, "")]),
        ("move the pot lid to the towel", [("lid", "towel", "")]),
        ("", []),
    ],
)
def test_a_task_text_is_read_as_goals(task, goals):
    parsed = parse_task(task)
    found = [(goal.thing.noun, goal.place and goal.place.noun, goal.preposition) for goal in parsed]
    assert found == goals


def test_an_understood_verb_is_said_in_full():
    assert [goal.text for goal in parse_task("move the banana to the pot and sushi to the bowl")] == [
        "move the banana to the pot",
        "move sushi to the bowl",
    ]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("grasp the left stuffed toy", ["pink toy", "blue toy"]),
        ("grasp the toy on the right", ["blue toy", "pink toy"]),
        ("grasp the blue toy", ["blue toy", "pink toy"]),
        ("grasp the largest bowl", ["large bowl", "small bowl"]),
        ("grasp the small bowl on the right", ["small bowl", "large bowl"]),
        ("grasp the elephant", ["elephant"]),
    ],
)
def test_a_phrase_means_the_likeliest_object_and_perhaps_another(task, words):
    goal = parse_task(task)[0]
    assert [each.words for each in meant_by(goal.thing, situation_of(TOYS))] == words


@pytest.mark.parametrize(
    ("name", "words"), [("toy_pink", "pink toy"), ("lid", "pot lid"), ("hammer", "hammer"), ("cup_tall", "tall cup")]
)
def test_objects_are_named_as_a_person_would(name, words):
    assert phrase(name) == words


def test_what_is_held_is_judged_from_opening_and_nearness_alone():
    table, observation = holding(TABLE, "spoon")
    assert situation_of(table, observation).held.words == "spoon"
    wide_open = replace(observation, proprio=np.array([0.33, 0.05, 0.12, 0, 0, 0, 0, 1.0], np.float32))
    assert situation_of(table, wide_open).held is None
    assert situation_of(TABLE, observation).held is None


def test_a_thing_at_its_place_looks_done_unless_it_is_still_held():
    goal = parse_task(HAMMER)[0]
    assert not looks_done(goal, situation_of(TABLE))
    table = {**TABLE, "hammer": (0.37, -0.10, 0.02)}
    assert looks_done(goal, situation_of(table))
    assert not looks_done(goal, situation_of(table, seen(gripper=(0.37, -0.10, 0.02), opening=0.4)))


def test_an_empty_gripper_is_offered_ways_to_grasp_and_wrong_ones_too():
    proposal = propose(HAMMER, TABLE)
    assert {"grasp the hammer.", "move down and grasp.", "grasp the mushroom.", "reset to home."} <= set(
        proposal.prompts
    )
    assert proposal.prompts[0] == "grasp the hammer."
    assert len(proposal.prompts) == 8


def test_a_full_gripper_is_offered_ways_to_deliver():
    table, observation = holding(TABLE, "hammer")
    proposal = propose(HAMMER, table, observation)
    assert proposal.prompts[0] == "put it on the plate."
    assert "open the gripper." in proposal.prompts
    assert "holding the hammer" in proposal.rationale


def test_the_wrong_thing_in_the_gripper_is_to_be_let_go():
    table, observation = holding(TABLE, "spoon")
    assert propose(HAMMER, table, observation).prompts[0] == "open the gripper."


def test_a_gripper_that_stopped_half_way_holds_what_is_wanted_and_not_in_sight():
    hidden = {name: position for name, position in TABLE.items() if name != "hammer"}
    prompts = propose(HAMMER, hidden, seen(opening=0.3)).prompts
    assert prompts[0] == "put it on the plate."
    assert "open the gripper." in prompts


def test_a_gripper_that_holds_nobody_knows_what_is_offered_both():
    prompts = propose(HAMMER, TABLE, seen(gripper=(0.2, 0.2, 0.2), opening=0.3)).prompts
    assert {"put it on the plate.", "open the gripper.", "grasp the hammer."} <= set(prompts)


def test_a_delivered_thing_gives_way_to_the_next_goal():
    assert propose(HAMMER, {**TABLE, "hammer": (0.38, -0.09, 0.02)}).prompts[0] == "grasp the mushroom."


def test_containers_take_things_in_and_surfaces_on():
    table, observation = holding(TOYS, "toy_pink")
    prompts = propose("move the left stuffed toy to the largest bowl", table, observation).prompts
    assert prompts[0] == "put it in the large bowl."
    assert "put it in the small bowl." in prompts


def test_an_object_that_nobody_sees_is_still_spoken_of():
    hidden = {name: position for name, position in TABLE.items() if name != "hammer"}
    assert "grasp the hammer." in propose(HAMMER, hidden).prompts


@pytest.mark.parametrize("task", [HAMMER, "move the left stuffed toy to the largest bowl", "wave"])
@pytest.mark.parametrize("table", [TABLE, TOYS, {}])
def test_every_family_that_has_something_to_say_is_heard(task, table):
    families = {idea.prompt: idea.family for idea in ideas(task, parse_task(task), situation_of(table))}
    heard = {families[prompt] for prompt in propose(task, table).prompts}
    assert heard == set(families.values())
    assert Family.RESET in heard


def test_directions_lead_towards_the_thing():
    prompts = propose("grasp the spoon", {"spoon": (0.31, 0.15, 0.01)}).prompts
    assert "move to the left." in prompts
    assert "move to the right." not in prompts


@given(
    st.sampled_from([HAMMER, "put the toy in the bowl", "wave", "a", "move", "put it on and in the"]),
    st.sampled_from([TABLE, TOYS, {}]),
    st.integers(1, 40),
    st.lists(st.sampled_from(["lift.", "move left."]), max_size=8),
    st.floats(0, 1, width=32),
)
def test_a_proposal_is_normalised_without_doubles_weighted_and_repeatable(task, table, count, history, opening):
    observation = seen(opening=opening)
    proposal = propose(task, table, observation, history, count=count)
    assert proposal == propose(task, table, observation, history, count=count)
    assert 1 <= len(proposal.prompts) <= count
    assert [normalise(prompt) for prompt in proposal.prompts] == list(dict.fromkeys(proposal.prompts))
    assert len(proposal.priors) == len(proposal.prompts)
    assert sum(proposal.priors) == pytest.approx(1)
    assert sorted(proposal.priors, reverse=True) == list(proposal.priors)
    assert "\n" not in proposal.rationale


@given(st.text(min_size=1, max_size=60))
def test_no_task_text_breaks_the_proposer(task):
    try:
        proposal = propose(task, TABLE)
    except ProposerError:
        assert not task.strip()
        return
    assert "reset to home." in proposal.prompts


def test_a_frozen_pool_is_all_there_is_to_choose_from():
    pool = ("put it on the plate.", "grab the hammer.", "open the gripper.", "wiggle.", "grasp the mushroom.")
    for table, observation in ((TABLE, seen()), holding(TABLE, "hammer")):
        proposal = propose(HAMMER, table, observation, pool=pool, pool_frozen=True, count=3)
        assert len(proposal.prompts) == 3
        assert set(proposal.prompts) <= set(pool)
    assert propose(HAMMER, *holding(TABLE, "hammer"), pool=pool, pool_frozen=True).prompts[0] == "put it on the plate."


def test_a_frozen_pool_in_other_words_is_understood():
    pool = ("wiggle.", "open the gripper.", "grasp the brown hammer.", "put it on the towel.")
    assert propose(HAMMER, TABLE, pool=pool, pool_frozen=True).prompts[0] == "grasp the brown hammer."


def test_repeating_a_prompt_varies_one_candidate_and_keeps_the_rest():
    first = propose(HAMMER, TABLE).prompts
    once = propose(HAMMER, TABLE, history=["grasp the hammer."]).prompts
    lasts = set()
    for times in (2, 3, 4):
        stuck = propose(HAMMER, TABLE, history=["grasp the hammer."] * times).prompts
        assert len(set(first) & set(stuck)) >= 7
        assert "grasp the hammer." in stuck
        lasts |= set(stuck) - set(first)
    assert once == first
    assert len(lasts) >= 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": "  "}, "task is empty"),
        ({"task": "a" * 10_000}, "10000 characters"),
        ({"count": 0}, "at least 1"),
        ({"pool_frozen": True}, "frozen and empty"),
        ({"observation": seen(opening=float("nan"))}, "8 finite numbers"),
        ({"observation": Observation(BLANK, BLANK, np.zeros(7, np.float32))}, "8 finite numbers"),
    ],
)
def test_a_request_without_sense_is_refused_in_one_short_line(change, says):
    with pytest.raises(ProposerError, match=says) as error:
        propose(**{"task": HAMMER, "table": TABLE, **change})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


def test_a_long_task_is_no_prompt_but_its_goals_are():
    task = "move the hammer to the plate, then grasp the mushroom" + ", then grasp the spoon" * 10
    proposal = propose(task, TABLE, count=64)
    assert all(len(prompt) <= 200 for prompt in proposal.prompts)
    assert "grasp the hammer." in proposal.prompts


def test_proposing_knows_no_simulator():
    code = "import sys, sarl_ros.proposers.scene.proposer; print({'mujoco', 'sarl_ros.sim.world'} & sys.modules.keys())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("task", ["hammer", "toy"])
def test_recall_with_true_positions_reaches_the_reference(task, tmp_path):
    arguments = ["--tasks", task, "--episodes", "3", "--perception", "true", "--policy", "expert"]
    figures = tmp_path / "figures.json"
    subprocess.run([sys.executable, ROOT / "bench/recall.py", *arguments, "--json", figures], check=True)
    row = json.loads(figures.read_text())["tasks"][task]
    assert row["decisions"] >= 6
    assert row["recall"] >= 0.9
    assert row["distinct_prompts"] <= 28
