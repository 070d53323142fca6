"""Tasks: their files, their layouts, and what the judge and the oracle say of a state."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sarl_ros.core.task import TaskError, load_task, task_names
from sarl_ros.sim.judge import HOME_PROMPT, Facts, judge
from sarl_ros.sim.objects import CATALOGUE
from sarl_ros.sim.tasks import HOME, load_sim_task, sample_layout

NAMES = ("banana", "hammer", "lid", "toy")


def facts(held: str | None = None, touched: tuple[str, ...] = (), gripper=HOME, **moved: tuple) -> Facts:
    """The hammer task at its nominal layout, with changes."""
    task = load_sim_task("hammer")
    positions = {
        name: np.array([place.x, place.y, CATALOGUE[name].rest_height]) for name, place in task.objects.items()
    }
    positions |= {name: np.array(place, float) for name, place in moved.items()}
    return Facts(positions, np.array(gripper, float), held, frozenset({*touched, *([held] if held else [])}))


ON_PLATE = (0.38, -0.10, 0.017)


def test_the_four_tasks_come_with_the_package():
    assert task_names() == NAMES
    for name in NAMES:
        assert load_task(name).max_steps == 8
        task = load_sim_task(name)
        assert task.jitter.position_m == 0.02
        assert task.jitter.yaw_rad == pytest.approx(np.radians(15))


def test_the_hammer_is_named_in_no_suitable_prompt():
    for name in NAMES:
        for goal in load_sim_task(name).subgoals:
            assert not any("hammer" in prompt for prompt in goal.prompts.grasp + (goal.prompts.place or ()))


@given(st.sampled_from(NAMES), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_layouts_keep_their_jitter_and_footprints_apart(name, seed, wide):
    task = load_sim_task(name)
    layout = sample_layout(task, np.random.default_rng(seed), wide)
    assert layout.keys() == task.objects.keys()
    loose = [thing for thing, place in task.objects.items() if place.atop is None]
    for thing in loose:
        x, y, yaw = layout[thing]
        place = task.objects[thing]
        assert abs(yaw - place.yaw) <= task.jitter.yaw_rad
        if wide:
            assert task.wide.x[0] <= x <= task.wide.x[1]
            assert task.wide.y[0] <= y <= task.wide.y[1]
        else:
            assert max(abs(x - place.x), abs(y - place.y)) <= task.jitter.position_m + 1e-12
        for other in loose:
            apart = np.hypot(x - layout[other][0], y - layout[other][1])
            assert other == thing or apart >= CATALOGUE[thing].radius + CATALOGUE[other].radius - 1e-9
    for thing, place in task.objects.items():
        if place.atop:
            assert layout[thing][:2] == layout[place.atop][:2]


def test_the_same_seed_draws_the_same_layout():
    task = load_sim_task("banana")
    assert sample_layout(task, np.random.default_rng(4)) == sample_layout(task, np.random.default_rng(4))
    assert sample_layout(task, np.random.default_rng(4)) != sample_layout(task, np.random.default_rng(5))


def minimal(**changes):
    document = {
        "instruction": "put the block on the plate",
        "objects": {"block": {"x": 0.3, "y": 0.0}, "plate": {"x": 0.38, "y": -0.1}},
        "subgoals": [
            {
                "place": "block",
                "to": "plate",
                "prompts": {"grasp": ["grasp the block."], "place": ["put it on the plate."]},
            }
        ],
    }
    document |= changes
    whole = {"instruction": document.pop("instruction"), "max_steps": document.pop("max_steps", 8), "sim": document}
    return {key: value for key, value in whole.items() if value is not None}


def load(tmp_path, document):
    path = tmp_path / "mine.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return load_sim_task(path)


def test_a_task_file_of_ones_own_loads(tmp_path):
    assert load(tmp_path, minimal()).subgoals[0].text == "block on plate"
    task = load_task(tmp_path / "mine.yaml")
    assert (task.name, task.instruction, task.max_steps) == ("mine", "put the block on the plate.", 8)


def test_a_real_arm_needs_the_words_alone(tmp_path):
    (tmp_path / "wipe.yaml").write_text("instruction: Wipe the table")
    assert load_task(tmp_path / "wipe.yaml").instruction == "wipe the table."
    with pytest.raises(TaskError, match=r"wipe\.yaml: sim is missing: .*real arm"):
        load_sim_task(tmp_path / "wipe.yaml")


PROMPTS = {"grasp": ["grasp it."], "place": ["put it on the plate."]}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "mine.yaml: line 1"),
        ("- 1", "is no mapping"),
        ("instruction: a\ninstruction: b", "line 2: instruction is there twice"),
        ("instruction: put it down\nobjects: {block: {x: 0.3, y: 0.0}}", "belongs in a section `sim:`"),
        (minimal(instruction=None), "instruction is missing"),
        (minimal(instruction="x" * 300), "shorten it"),
        (minimal(instruction="   "), "empty prompt"),
        (minimal(objects={}), "objects or subgoals are missing"),
        (minimal(objects={"unicorn": {"x": 0, "y": 0}}), "there is no object 'unicorn'"),
        (minimal(objects={"block": {"x": "far", "y": 0}}), "objects.block.x is 'far'"),
        (minimal(objects={"block": {"x": float("nan"), "y": 0}}), "objects.block.x is nan"),
        (minimal(objects={"block": {"x": 30, "y": 0}}), "objects.block.x is 30: .*less than or equal to 1"),
        (minimal(objects={"block": {"x": 0.3, "y": 0, "z": 1}}), "objects.block.z is unknown"),
        (minimal(objects={"block": {"x": 0.3}}), "x and y are missing"),
        (minimal(objects={"block": {"x": 0.3, "y": 0.0}}), "plate is needed"),
        (minimal(objects={"block": {"atop": "spoon"}}), "is no receptacle"),
        (minimal(objects={"block": {"atop": "plate", "x": 0.3}}), "atop stands alone"),
        (minimal(subgoals=[]), "objects or subgoals are missing"),
        (minimal(subgoals=[{"place": "plate", "to": "plate", "prompts": PROMPTS}]), "plate cannot be grasped"),
        (minimal(subgoals=[{"place": "block", "to": "plate"}]), "prompts"),
        (minimal(subgoals=[{"place": "block", "to": "plate", "grasp": "block", "prompts": PROMPTS}]), "say `place"),
        (minimal(subgoals=[{"grasp": "block", "prompts": {"grasp": [""]}}]), "empty prompt"),
        (minimal(max_steps=0), "max_steps is 0"),
        (minimal(max_steps=10**6), "max_steps is 1000000"),
        (minimal(max_steps=True), "max_steps is True"),
        (minimal(start=[0.3]), "start"),
        (minimal(jitter={"position_m": -0.01}), "jitter.position_m is -0.01"),
        (minimal(wide={"x": [0.4, 0.2]}), "wide.x is .*: must go from low to high"),
        (minimal(left_to_right=[["block"]]), "left_to_right"),
        (minimal(left_to_right=[["block", "spoon"]]), "left_to_right names spoon"),
        (minimal(held="plate"), "held is .*: plate cannot be grasped"),
        (minimal(name="another"), "name is unknown"),
        (minimal(colour="red"), "colour is unknown"),
    ],
)
def test_a_malformed_task_file_is_one_line_that_names_the_file_and_the_fault(tmp_path, document, said):
    with pytest.raises(TaskError, match=said) as error:
        load(tmp_path, document)
    assert "mine.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_task_lists_the_known_ones():
    with pytest.raises(TaskError, match=r"nothing\.yaml.*banana, hammer, lid, toy"):
        load_sim_task("nothing")


def test_objects_that_cannot_fit_are_an_error(tmp_path):
    crowded = minimal(objects={"block": {"x": 0.38, "y": -0.1}, "plate": {"x": 0.38, "y": -0.1}})
    with pytest.raises(TaskError, match="overlap"):
        sample_layout(load(tmp_path, crowded), np.random.default_rng(0))


def test_success_needs_the_hammer_on_the_plate_and_the_mushroom_held():
    task = load_sim_task("hammer")
    assert judge(task, facts()).reached == (False, False)
    assert judge(task, facts(hammer=ON_PLATE)).reached == (True, False)
    done = judge(task, facts(hammer=ON_PLATE, held="mushroom"))
    assert (done.success, done.reached, done.suitable) == (True, (True, True), ())


def test_a_grasp_does_not_count_before_the_places_ahead_of_it():
    assert judge(load_sim_task("hammer"), facts(held="mushroom")).reached == (False, False)


@pytest.mark.parametrize(
    "state",
    [
        facts(held="hammer", hammer=ON_PLATE),
        facts(touched=("hammer",), hammer=ON_PLATE),
        facts(hammer=(0.38, -0.10, 0.08)),
        facts(hammer=(0.38, -0.10 + 0.07, 0.017)),
    ],
)
def test_held_touched_high_or_beside_the_plate_is_not_on_it(state):
    assert judge(load_sim_task("hammer"), state).reached[0] is False


@pytest.mark.parametrize(
    ("state", "prompts"),
    [
        (facts(), ("move down and grasp.",)),
        (facts(held="hammer"), ("put it on the plate.",)),
        (facts(held="spoon"), ("release.", "open the gripper.")),
        (facts(held="mushroom"), ("release.", "open the gripper.")),
        (facts(hammer=ON_PLATE), ("grasp the mushroom.",)),
        (facts(held="spoon", hammer=ON_PLATE), ("release.", "open the gripper.")),
        (facts(gripper=(0.38, 0.15, 0.13)), (HOME_PROMPT,)),
        (facts(hammer=(0.26, -0.15, 0.011), gripper=(0.40, 0.1, 0.13)), ("move to the mushroom.",)),
        (facts(hammer=(0.33, -0.19, 0.011), gripper=(0.33, 0.1, 0.13)), ("move to the right.",)),
    ],
)
def test_the_oracle_chooses_by_the_true_state(state, prompts):
    assert judge(load_sim_task("hammer"), state).suitable == prompts


def test_places_count_and_are_suggested_in_any_order():
    task = load_sim_task("banana")
    rest = {name: np.array([place.x, place.y, CATALOGUE[name].rest_height]) for name, place in task.objects.items()}
    free = Facts(rest, np.array(HOME), None, frozenset())
    assert judge(task, free).suitable == ("grasp the banana.", "grasp the sushi.")
    assert judge(task, Facts(rest, np.array(HOME), "sushi", frozenset({"sushi"}))).suitable == (
        "put it in the small bowl.",
    )
    moved = rest | {"sushi": rest["bowl_small"] + [0, 0, 0.015]}
    later = judge(task, Facts(moved, np.array(HOME), None, frozenset()))
    assert later.reached == (False, True)
    assert later.suitable == ("grasp the banana.",)


@pytest.mark.parametrize("name", ["banana", "toy"])
def test_wide_layouts_keep_the_sides_that_the_task_speaks_of(name):
    task = load_sim_task(name)
    ((left, right),) = task.left_to_right
    for seed in range(30):
        layout = sample_layout(task, np.random.default_rng(seed), wide=True)
        assert layout[left][1] > layout[right][1]
