"""What a message must be before a callback sees it: enum members, lengths that go together, finite numbers, ranges.

Free of ROS: what records hold is looked at with the same checks as what is on the wire.

A check gives "" or `FIELD: why the message cannot be taken`; it never raises and never looks at each pixel. Whether a
message is true or due is decided where it is used, and so is what must be answered rather than ignored: a prompt that
is too long is refused by the executor, an action that is not finite by the bridge, a failed read of the joints is a
fault of the arm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sarl_ros.core.episode_events import Button
from sarl_ros.core.types import Ended, EpisodeState, Verdict

MAX_CHARACTERS = 10_000
MAX_CHUNK_RECORDS = 4_000_000  # bytes
MAX_ITEMS = 1_000
MAX_COUNT = 1_000_000_000
MAX_EPISODE = 1_000_000
MAX_STEP = 100_000
MAX_SEQUENCE = 2**53
MAX_UPDATES = 2**53
COLOURS = ("rgb8", "bgr8")
MAX_SIDE = 8_192
"""Of an image, in pixels."""
MAX_IMAGE_BYTES = 64_000_000
MAX_PWM = 1_000.0
MAX_NUMBER = 1e6
"""Of anything about an arm, in rad, rad/s, mA or m."""
MAX_OPENING = 10.0
"""Of the gripper; 1 is open, measured it may be a little more."""

Check = Callable[[Any], str]
_STATES, _VERDICTS, _ENDED, _MODES = frozenset(EpisodeState), frozenset(Verdict), frozenset(Ended), range(4)
_OUTCOMES = frozenset((EpisodeState.SUCCESS, EpisodeState.FAILURE, EpisodeState.TIMEOUT))
_BUTTONS = frozenset(map(str, Button))


# Of fields.


def _text(field: str, text: str) -> str:
    return f"{field}: {len(text)} characters, {MAX_CHARACTERS} at most" if len(text) > MAX_CHARACTERS else ""


def _texts(field: str, texts: Sequence[str]) -> str:
    if len(texts) > MAX_ITEMS:
        return f"{field}: {len(texts)} texts, {MAX_ITEMS} at most"
    return _first(_text(field, text) for text in texts)


def _within(field: str, value: float, low: float, high: float) -> str:
    """Not within is NaN, too."""
    return "" if low <= value <= high else f"{field}: {value} is not within {low} to {high}"


def _one_of(field: str, value: int, members: Iterable[int]) -> str:
    return "" if value in members else f"{field}: {value} is unknown"


def _finite(field: str, values: Any) -> str:
    """Of a few numbers, so that Python is faster than numpy."""
    if all(-MAX_NUMBER <= value <= MAX_NUMBER for value in values.tolist()):
        return ""
    return f"{field}: holds numbers that are not finite, or beyond {MAX_NUMBER:g}"


def _no_infinity(field: str, value: float) -> str:
    """NaN says that a value is not known."""
    return f"{field}: {value} is not finite" if math.isinf(value) else ""


def _time(field: str, seconds: int, nanoseconds: int) -> str:
    if seconds >= 0 and nanoseconds < 1_000_000_000:
        return ""
    return f"{field}: {seconds} s and {nanoseconds} ns are no time"


def _stamp(field: str, stamp: Any) -> str:
    return _time(field, stamp.sec, stamp.nanosec)


def _header(header: Any) -> str:
    return _stamp("header.stamp", header.stamp) or _text("header.frame_id", header.frame_id)


def _key(key: Any, first_step: int = 1) -> str:
    return (
        _text("key.run", key.run)
        or _within("key.episode", key.episode, 1, MAX_EPISODE)
        or _within("key.step", key.step, first_step, MAX_STEP)
    )


def _same_length(field: str, values: Sequence[Any], names: Sequence[Any]) -> str:
    return "" if len(values) == len(names) else f"{field}: {len(values)} values for {len(names)} names"


def _first(problems: Iterable[str]) -> str:
    return next((problem for problem in problems if problem), "")


# Of the protocol's messages.


def _episode(message: Any) -> str:
    return (
        _header(message.header)
        or _one_of("state", message.state, _STATES)
        or _text("run", message.run)
        or _text("task", message.task)
        or _text("instruction", message.instruction)
        or _text("reason", message.reason)
        or _within("episode", message.episode, 0, MAX_EPISODE)
        or _within("seed", message.seed, -1, 2**63 - 1)
        or _within("step", message.step, 0, MAX_STEP)
        or _within("max_steps", message.max_steps, 0, MAX_COUNT)
        or _within("completed", message.completed, 0, MAX_EPISODE)
        or _within("episodes", message.episodes, 0, MAX_COUNT)
        or _outcomes(message)
    )


def _outcomes(message: Any) -> str:
    if len(message.outcomes) != message.completed:
        return f"outcomes: {len(message.outcomes)} for {message.completed} completed episodes"
    if not _OUTCOMES.issuperset(message.outcomes):
        return "outcomes: some are no outcome of an episode"
    if message.state == EpisodeState.FINISHED and not 0 < message.episodes <= message.completed:
        return f"state: FINISHED with {message.completed} of {message.episodes} episodes"
    return ""


def _event(message: Any) -> str:
    return (
        _header(message.header)
        or _text("key.run", message.key.run)
        or _within("key.episode", message.key.episode, 0, MAX_EPISODE)
        or _within("key.step", message.key.step, 0, MAX_STEP)
        or _text("event", message.event)
        or _text("source", message.source)
        or _text("detail", message.detail)
    )


def _step_result(message: Any) -> str:
    return (
        _header(message.header)
        or _one_of("ended", message.ended, _ENDED)
        or _key(message.key, first_step=0)
        or _text("prompt", message.prompt)
        or _text("reason", message.reason)
        or _within("control_steps", message.control_steps, 0, MAX_COUNT)
        or _within("chunk_records", len(message.chunk_records), 0, MAX_CHUNK_RECORDS)
        or observation_problem(message.observation)
    )


def observation_problem(message: Any) -> str:
    """`FIELD: why the observation cannot be taken`, or nothing; its images are decoded where they are used."""
    return (
        _stamp("observation.header.stamp", message.header.stamp)
        or _finite("observation.proprio", message.proprio)
        or _image_data("observation.front", message.front)
        or _image_data("observation.wrist", message.wrist)
    )


def proposals_problem(response: Any) -> str:
    """`FIELD: why a proposer's answer cannot be taken`, or nothing; each prompt is looked at where it is used."""
    return (
        _texts("prompts", response.prompts)
        or _text("rationale", response.rationale)
        or _text("model", response.model)
        or _text("error", response.error)
        or _finite("priors", response.priors)
    )


def _image_data(field: str, message: Any) -> str:
    if len(message.data) > MAX_IMAGE_BYTES:
        return f"{field}: {len(message.data)} bytes, {MAX_IMAGE_BYTES} at most"
    return _text(field, message.format)


def _step_verdict(message: Any) -> str:
    return (
        _header(message.header)
        or _one_of("verdict", message.verdict, _VERDICTS)
        or _key(message.key)
        or _text("source", message.source)
        or _text("reason", message.reason)
    )


def _prompt(message: Any) -> str:
    return (
        _header(message.header)
        or _key(message.key)
        or _text("prompt", message.prompt)
        or _text("agent", message.agent)
        or _text("chunk_actor", message.chunk_actor)
        or _text("chunk_actor_state", message.chunk_actor_state)
        or _candidates(message.candidates)
        or _within("chosen", message.chosen, 0, max(0, len(message.candidates) - 1))
        or _within("suitable_offered", message.suitable_offered, -1, 1)
    )


def _candidates(candidates: Sequence[Any]) -> str:
    if len(candidates) > MAX_ITEMS:
        return f"candidates: {len(candidates)} of them, {MAX_ITEMS} at most"
    return _first(
        _text("candidates.prompt", each.prompt)
        or _within("candidates.pool_index", each.pool_index, -1, MAX_COUNT)
        or _no_infinity("candidates.q_mean", each.q_mean)
        or _no_infinity("candidates.q_std", each.q_std)
        or _no_infinity("candidates.probability", each.probability)
        or _no_infinity("candidates.prior", each.prior)
        for each in candidates
    )


def _proposal(message: Any) -> str:
    return (
        _header(message.header)
        or _key(message.key, first_step=0)
        or _candidates(message.candidates)
        or _text("model", message.model)
        or _text("rationale", message.rationale)
        or _no_infinity("seconds", message.seconds)
    )


def _learner_status(message: Any) -> str:
    return (
        _header(message.header)
        or _text("run", message.run)
        or _text("checkpoint", message.checkpoint)
        or _text("error", message.error)
        or _within("episodes", message.episodes, 0, MAX_EPISODE)
        or _within("transitions", message.transitions, 0, MAX_COUNT)
        or _within("updates_done", message.updates_done, 0, MAX_UPDATES)
        or _within("updates_owed", message.updates_owed, 0, MAX_UPDATES)
        or _within("pool_size", message.pool_size, 0, MAX_COUNT)
        or _within("pool_capacity", message.pool_capacity, 0, MAX_COUNT)
        or _no_infinity("updates_per_decision", message.updates_per_decision)
        or _no_infinity("critic_loss", message.critic_loss)
        or _no_infinity("temperature", message.temperature)
        or _no_infinity("recall", message.recall)
    )


def _node_status(message: Any) -> str:
    if not message.node or not message.incarnation:
        return f"{'incarnation' if message.node else 'node'}: is empty"
    return _text("node", message.node) or _text("incarnation", message.incarnation) or _texts("faults", message.faults)


def _buttons(message: Any) -> str:
    return (
        _header(message.header)
        or _text("run", message.run)
        or ("" if _BUTTONS.issuperset(message.name) else "name: some are no buttons")
        or _same_length("armed", message.armed, message.name)
        or _same_length("why", message.why, message.name)
        or _texts("why", message.why)
    )


def _judgement(message: Any) -> str:
    return (
        _header(message.header)
        or _text("task", message.task)
        or _texts("subgoals", message.subgoals)
        or _same_length("reached", message.reached, message.subgoals)
        or _texts("suitable_prompts", message.suitable_prompts)
    )


# Of the arm's.


def _arm_command(message: Any) -> str:
    return _text("key.run", message.key.run) or _within("seq", message.seq, 0, MAX_SEQUENCE)


def _arm_state(message: Any) -> str:
    return (
        _header(message.header)
        or _one_of("mode", message.mode, _MODES)
        or _within("seq", message.seq, 0, MAX_SEQUENCE)
        or _text("refusal", message.refusal)
        or _text("stop", message.stop)
        or _texts("faults", message.faults)
        or _arm_numbers(message)
    )


def _arm_numbers(message: Any) -> str:
    if message.seq and not message.accepted:
        return ""  # a command that is refused before there are joint states is answered without any
    return (
        _finite("joint_position", message.joint_position)
        or _finite("joint_velocity", message.joint_velocity)
        or _finite("joint_effort", message.joint_effort)
        or _finite("pose", message.pose)
        or _finite("target", message.target)
        or _within("gripper", message.gripper, -MAX_OPENING, MAX_OPENING)
        or _finite("proprio", message.proprio)
    )


def _joint_state(message: Any) -> str:
    names = message.name
    return (
        _header(message.header)
        or _texts("name", names)
        or _same_length("position", message.position, names)
        or (_same_length("velocity", message.velocity, names) if len(message.velocity) else "")
        or (_same_length("effort", message.effort, names) if len(message.effort) else "")
        or _finite("velocity", message.velocity)
        or _finite("effort", message.effort)
    )


def _joint_group(message: Any) -> str:
    if len(message.cmd) > MAX_ITEMS:
        return f"cmd: {len(message.cmd)} numbers, {MAX_ITEMS} at most"
    return _text("name", message.name) or _finite("cmd", message.cmd)


def _joint_single(message: Any) -> str:
    return _text("name", message.name) or _within("cmd", message.cmd, -MAX_PWM, MAX_PWM)


# Of others'.


def _image(head: Any) -> str:
    if head.encoding not in COLOURS:
        return f"encoding: image encoding {head.encoding[:40]!r}: set the camera to {' or '.join(COLOURS)}"
    return (
        _time("header.stamp", head.seconds, head.nanoseconds)
        or _within("height", head.height, 1, MAX_SIDE)
        or _within("width", head.width, 1, MAX_SIDE)
        or _within("step", head.step, 3 * head.width, MAX_IMAGE_BYTES)
        or _within("data", head.size, head.step * head.height, MAX_IMAGE_BYTES)
    )


def _compressed_image(message: Any) -> str:
    return _header(message.header) or _image_data("data", message)


def _joy(message: Any) -> str:
    if len(message.buttons) > MAX_ITEMS or len(message.axes) > MAX_ITEMS:
        return f"buttons: {len(message.buttons)} and {len(message.axes)} axes, {MAX_ITEMS} at most"
    return _header(message.header)


def _diagnostics(message: Any) -> str:
    if len(message.status) > MAX_ITEMS:
        return f"status: {len(message.status)} of them, {MAX_ITEMS} at most"
    return _header(message.header) or _first(
        _text("status.name", status.name)
        or _text("status.message", status.message)
        or _within("status.level", _byte(status.level), 0, 3)
        for status in message.status
    )


def _byte(value: Any) -> int:
    """Of a byte, which rclpy has as bytes and a bag's reader as a number."""
    return value[0] if isinstance(value, bytes) else int(value)


CHECKS: dict[str, Check] = {
    "sarl_interfaces/msg/Episode": _episode,
    "sarl_interfaces/msg/EpisodeEvent": _event,
    "sarl_interfaces/msg/StepResult": _step_result,
    "sarl_interfaces/msg/StepVerdict": _step_verdict,
    "sarl_interfaces/msg/Prompt": _prompt,
    "sarl_interfaces/msg/Proposal": _proposal,
    "sarl_interfaces/msg/LearnerStatus": _learner_status,
    "sarl_interfaces/msg/NodeStatus": _node_status,
    "sarl_interfaces/msg/Buttons": _buttons,
    "sarl_interfaces/msg/Judgement": _judgement,
    "sarl_interfaces/msg/ArmCommand": _arm_command,
    "sarl_interfaces/msg/ArmState": _arm_state,
    "sensor_msgs/msg/JointState": _joint_state,
    "interbotix_xs_msgs/msg/JointGroupCommand": _joint_group,
    "interbotix_xs_msgs/msg/JointSingleCommand": _joint_single,
    "sensor_msgs/msg/Image": _image,
    "sensor_msgs/msg/CompressedImage": _compressed_image,
    "sensor_msgs/msg/CameraInfo": lambda message: _header(message.header),
    "sensor_msgs/msg/Joy": _joy,
    "diagnostic_msgs/msg/DiagnosticArray": _diagnostics,
    "rosgraph_msgs/msg/Clock": lambda message: _stamp("clock", message.clock),
    "std_msgs/msg/String": lambda message: _text("data", message.data),
}
"""By type, every one that a node subscribes to. Of an Image the check takes the `ImageHead`."""
