"""Messages of any type with their fields at the extremes, found by looking at the type; so a new field is covered."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from sarl_interfaces.msg import Candidate, StepKey
from sarl_ros.core.episode_events import Button
from sarl_ros.nodes.bag_player import message_class
from sarl_ros.ros.boundary import type_name

RUN, OTHER_RUN = "this-run", "another-run"
LONG = "x" * 1_000_000
MANY = 5_000
INTEGERS = {
    f"{sign}int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for bits in (8, 16, 32, 64)
    for sign in ("", "u")
}
FLOATS = {"float": float(np.finfo(np.float32).max), "double": float(np.finfo(np.float64).max)}
JOINTS = ["waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper", "left_finger"]


def valid(kind: Any, run: str = RUN) -> Any:
    """A plain message of this type that can be taken."""
    message = kind()
    fields = kind.get_fields_and_field_types()
    if "run" in fields:
        message.run = run
    if fields.get("key") == "sarl_interfaces/StepKey":
        message.key = StepKey(run=run, episode=1, step=1)
    given: dict[str, dict[str, Any]] = {
        "sarl_interfaces/msg/Episode": {"episode": 1, "max_steps": 8, "episodes": 2},
        "sarl_interfaces/msg/StepResult": {"ended": 1, "control_steps": 4, "prompt": "lift up."},
        "sarl_interfaces/msg/Prompt": {
            "prompt": "lift up.",
            "control_steps": 4,
            "candidates": [Candidate(prompt="lift up.", probability=1.0)],
        },
        "sarl_interfaces/msg/Proposal": {"candidates": [Candidate(prompt="lift up.")]},
        "sarl_interfaces/msg/NodeStatus": {"node": "vla_executor", "incarnation": "a", "faults": ["something"]},
        "sarl_interfaces/msg/Buttons": {
            "name": [str(button) for button in Button],
            "armed": [False] * len(Button),
            "why": [""] * len(Button),
        },
        "sarl_interfaces/msg/Judgement": {"task": "hammer", "subgoals": ["a"], "reached": [False]},
        "sarl_interfaces/msg/ArmCommand": {"seq": 1},
        "sensor_msgs/msg/JointState": {
            "name": JOINTS,
            "position": [0.0] * len(JOINTS),
            "velocity": [0.0] * len(JOINTS),
            "effort": [0.0] * len(JOINTS),
        },
        "interbotix_xs_msgs/msg/JointGroupCommand": {"name": "arm", "cmd": [0.0] * 6},
        "interbotix_xs_msgs/msg/JointSingleCommand": {"name": "gripper"},
        "sensor_msgs/msg/Image": {"height": 4, "width": 4, "step": 12, "encoding": "rgb8", "data": [0] * 48},
        "sensor_msgs/msg/Joy": {"buttons": [0, 1]},
        "std_msgs/msg/String": {"data": "[]"},
    }
    for field, value in given.get(type_name(kind), {}).items():
        setattr(message, field, value)
    return message


def altered(message: Any) -> Iterator[tuple[str, Any]]:
    """The message with one field after the other at each of its extremes, and the field's name."""
    for path, values in _places(message, ""):
        for value in values:
            changed = copy.deepcopy(message)
            *way, last = path.split(".")
            owner = changed
            for part in way:
                owner = owner[int(part)] if part.isdigit() else getattr(owner, part)
            setattr(owner, last, value)
            yield path, changed


def _places(message: Any, prefix: str) -> Iterator[tuple[str, list[Any]]]:
    for field, kind in message.get_fields_and_field_types().items():
        value, path = getattr(message, field), f"{prefix}{field}"
        if "/" in kind and "sequence" not in kind:
            yield from _places(value, f"{path}.")
        elif "/" in kind:
            inner = message_class(kind.removeprefix("sequence<").partition(">")[0].replace("/", "/msg/"))
            yield path, [[], [inner()], [inner()] * MANY]
            for index, each in enumerate(value):
                yield from _places(each, f"{path}.{index}.")
        else:
            yield path, _extremes(kind)


def _extremes(kind: str) -> list[Any]:
    if length := re.fullmatch(r"(\w+)\[(\d+)\]", kind):
        return [[value] * int(length[2]) for value in _extremes(length[1])]
    if inner := re.fullmatch(r"sequence<(\w+)>", kind):
        return [[], *([value] for value in _extremes(inner[1])), [_extremes(inner[1])[0]] * MANY]
    if kind in INTEGERS:
        return list(INTEGERS[kind])
    if kind in FLOATS:
        return [float("nan"), float("inf"), -float("inf"), FLOATS[kind], -FLOATS[kind]]
    if kind == "boolean":
        return [False, True]
    if kind == "octet":
        return [b"\x00", b"\xff"]
    assert kind == "string", f"no extremes of {kind}: name them here"
    return ["", LONG, OTHER_RUN, "\x1b[2J\n\ud7ff"]


def any_message(kind: Any) -> st.SearchStrategy[Any]:
    """Messages with every field anywhere, its extremes and what suits it among them."""
    plain = valid(kind)

    def of_field(field: str, field_kind: str) -> st.SearchStrategy[Any]:
        return st.just(getattr(plain, field)) | _anything(field_kind)

    fields = kind.get_fields_and_field_types()
    return st.builds(kind, **{field: of_field(field, field_kind) for field, field_kind in fields.items()})


def _anything(kind: str) -> st.SearchStrategy[Any]:
    if inner := re.fullmatch(r"sequence<([\w/]+)>", kind):
        each = _anything(inner[1])
        few = st.lists(each, max_size=3)
        return few if "/" in inner[1] else few | st.just([_extremes(inner[1])[0]] * MANY)
    if length := re.fullmatch(r"(\w+)\[(\d+)\]", kind):
        number = int(length[2])
        return st.lists(_anything(length[1]), min_size=number, max_size=number)
    if "/" in kind:
        return any_message(message_class(kind.replace("/", "/msg/")))
    if kind in INTEGERS:
        return st.integers(*INTEGERS[kind]) | st.integers(0, 12)
    if kind in FLOATS:
        return st.floats(width=32 if kind == "float" else 64)
    if kind == "boolean":
        return st.booleans()
    if kind == "octet":
        return st.binary(min_size=1, max_size=1)
    assert kind == "string", f"nothing of {kind}: say it here"
    return st.sampled_from(["", RUN, OTHER_RUN, LONG[:20_000]]) | st.text(
        st.characters(exclude_categories=["Cs"]), max_size=20
    )
