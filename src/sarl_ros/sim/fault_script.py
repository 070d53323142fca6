"""Faults of arm and cameras on purpose: when they begin and end, and what they do to what the simulator tells.

A script is a YAML list. Each entry names a fault, when it begins, and for how long:

    - {fault: motor_missing, motor: wrist_angle, at_s: 12.0, for_s: 3.0}     # 12 s of simulated time
    - {fault: error_register, motor: gripper, error: overload, on_command: 30}  # before the 30th joint_group command
    - {fault: late_states, on_reset: 2, for_s: 1.5}                          # when the second /sim/reset comes

Without a time it begins at once. `for_s` counts steady time, because simulated time may stand still under a fault;
without it the fault lasts, or until a reboot or torque_enable repairs it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sarl_ros.core.yaml_file import FileModel, YamlError, load_yaml, read_text, shown
from widowx_bridge.driver import MOTORS
from widowx_bridge.faults import ERROR_BITS

REGISTER_FAULTS = ("error_register", "torque_lost")
KINDS = {
    "motor_missing": "motor",
    "error_register": "motor",
    "torque_lost": "motor",
    "overload": "motor",
    "stuck": "motor",
    "glitch": "",
    "usb_gone": "",
    "frozen_states": "",
    "late_states": "",
    "dead_service": "",
    "slow_service": "",
    "camera_drop": "camera",
    "stale_frames": "camera",
}
"""What there is, and whom each entry must name."""
MAX_NUMBER = 1e9
ERRORS = {fault.removeprefix("error_"): 1 << bit for bit, (fault, _) in ERROR_BITS.items()}


class ScriptError(ValueError):
    """A fault script that cannot be run; one line with the remedy."""


Number = Annotated[float, Field(ge=0, le=MAX_NUMBER)]
Whole = Annotated[int, Field(ge=0, le=MAX_NUMBER)]


class ScriptedFault(FileModel):
    """One entry.

    Attributes:
        fault: one of KINDS. motor, camera: whom it strikes.
        at_s, on_command, on_reset: when it begins; at most one is given.
        for_s: steady seconds until it ends.
        samples: of a glitch, joint states that read zero ticks. delay_s: of a slow service. effort_ma: of an overload.
        error: of an error register, by the fault's name without `error_`.
    """

    fault: str
    motor: str = ""
    camera: str = ""
    at_s: Number | None = None
    on_command: Whole | None = None
    on_reset: Whole | None = None
    for_s: float = Field(default=math.inf, ge=0, allow_inf_nan=True)
    samples: Whole = 1
    delay_s: Number = 1.0
    effort_ma: Number = 2500.0
    error: str = "overload"

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        kind, given = self.fault, self.model_fields_set
        if kind not in KINDS:
            raise ValueError(f"fault {shown(kind)} is unknown: use one of {', '.join(KINDS)}")
        whom = KINDS[kind]
        if whom and not getattr(self, whom):
            raise ValueError(f"fault {kind} names no {whom}: add `{whom}:`")
        if self.motor and self.motor not in MOTORS:
            raise ValueError(f"motor {shown(self.motor)} is unknown: use one of {', '.join(MOTORS)}")
        if self.error not in ERRORS:
            raise ValueError(f"error {shown(self.error)} is unknown: use one of {', '.join(ERRORS)}")
        if len(given & {"at_s", "on_command", "on_reset"}) > 1:
            raise ValueError(f"fault {kind} has two beginnings: give one of at_s, on_command and on_reset")
        return self

    def due(self, sim_s: float, commands: int, resets: int) -> bool:
        return (
            (self.at_s is None or sim_s >= self.at_s)
            and (self.on_command is None or commands >= self.on_command)
            and (self.on_reset is None or resets >= self.on_reset)
        )


def parse_script(text: str, source: str | Path = "the fault script") -> list[ScriptedFault]:
    """The entries of a YAML list, or of one mapping; `source` names it in errors. Raises ScriptError."""
    try:
        entries = load_yaml(text, source)
        if isinstance(entries, dict):
            entries = [entries]
        if not isinstance(entries, list):
            raise ScriptError(f"{source} is no list: begin each entry with `- fault:`")
        return [ScriptedFault.of(entry, f"{source}, entry {number}") for number, entry in enumerate(entries, 1)]
    except YamlError as error:
        raise ScriptError(str(error)) from None


def load_script(path: Path) -> list[ScriptedFault]:
    """Raises ScriptError."""
    try:
        text = read_text(path, "fault script")
    except YamlError as error:
        raise ScriptError(str(error)) from None
    return parse_script(text, path)


@dataclass(slots=True, eq=False)
class _Active:
    entry: ScriptedFault
    ends_s: float
    left: int
    memory: dict[str, Any] = field(default_factory=dict)


class Faults:
    """Which faults are there now. `advance` from one thread; the questions from any."""

    def __init__(self, script: Sequence[ScriptedFault] = ()) -> None:
        self._waiting = list(script)
        self._active: list[_Active] = []
        self._changed = threading.Condition()
        self._closed = False

    def add(self, entries: Sequence[ScriptedFault]) -> None:
        with self._changed:
            self._waiting.extend(entries)

    def advance(self, sim_s: float, commands: int, resets: int, now_s: float) -> list[tuple[str, ScriptedFault]]:
        """Begin what is due and end what is over; each change as ("begin" or "end", entry)."""
        with self._changed:
            changes = [("end", active.entry) for active in self._active if now_s >= active.ends_s or active.left <= 0]
            self._active = [active for active in self._active if now_s < active.ends_s and active.left > 0]
            due = [entry for entry in self._waiting if entry.due(sim_s, commands, resets)]
            self._waiting = [entry for entry in self._waiting if entry not in due]
            for entry in due:
                left = 1 if entry.fault != "glitch" else entry.samples
                if entry.fault not in REGISTER_FAULTS:  # those last until they are repaired
                    self._active.append(_Active(entry, now_s + entry.for_s, left))
                changes.append(("begin", entry))
            if changes:
                self._changed.notify_all()
            return changes

    def find(self, kind: str, camera: str = "") -> _Active | None:
        """The active fault of this kind, if there is one."""
        for active in self._active:
            if active.entry.fault == kind and (not camera or active.entry.camera == camera):
                return active
        return None

    def missing_motors(self) -> set[str]:
        """Motors that answer no read."""
        with self._changed:
            if self.find("usb_gone"):
                return set(MOTORS)
            return {active.entry.motor for active in self._active if active.entry.fault == "motor_missing"}

    def hold_answer_back(self) -> None:
        """Returns when a service may answer: after the delay of a slow one, at the end of a dead one."""
        with self._changed:
            slow = self.find("slow_service")
            if slow is not None:
                self._changed.wait_for(lambda: self._closed, slow.entry.delay_s)
            while self.find("dead_service") and not self._closed:
                self._changed.wait(0.1)

    def held_joints(self, goal: Any, joints: Any) -> Any:
        """Goals (6,) that the arm follows: a stuck joint stays where it was, none moves without USB."""
        gone = self.find("usb_gone")
        if gone is not None:
            return gone.memory.setdefault("joints", joints)
        stuck = self.find("stuck")
        if stuck is not None:
            row = MOTORS.index(stuck.entry.motor)
            if row < len(goal):
                goal = goal.copy()
                goal[row] = stuck.memory.setdefault("joint", joints[row])
        return goal

    def distort(self, position: list[float], velocity: list[float], effort: list[float], goal: Any) -> bool:
        """Change a joint state's fields in place as the faults do; False where none is to be sent."""
        if self.find("late_states"):
            return False
        frozen = self.find("frozen_states")
        if frozen is not None:
            old = frozen.memory.setdefault("state", (list(position), list(velocity), list(effort)))
            position[:], velocity[:], effort[:] = old
            return True
        glitch = self.find("glitch")
        if glitch is not None and glitch.left > 0:
            glitch.left -= 1
        elif not self.find("usb_gone"):
            self._strain(position, effort, goal)
            return True
        for row in range(len(MOTORS)):  # zero raw ticks
            position[row], velocity[row], effort[row] = -math.pi, 0.0, 0.0
        return True

    def _strain(self, position: list[float], effort: list[float], goal: Any) -> None:
        """Currents of overloaded and stuck motors, with the flicker of every true reading."""
        for active in self._active:
            kind, motor = active.entry.fault, active.entry.motor
            if kind in ("overload", "stuck"):
                active.memory["flicker"] = flicker = not active.memory.get("flicker", False)
                row = MOTORS.index(motor)
                if kind == "overload":
                    effort[row] = active.entry.effort_ma + 3.0 * flicker
                else:
                    effort[row] += 200.0 * float(goal[row] - position[row]) + 3.0 * flicker

    def close(self) -> None:
        """End every wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
