"""Every failure of the arm that has a name: how it is told, how soon, what the person reads, how it ends.

This table is the one source: the detectors, the recovery and the driver's words read it, and `python -m
widowx_bridge.faults` prints it for docs/faults.md.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

STREAM_DETECTION_S = 0.5
POLL_DETECTION_S = 2.0
AUTOMATIC_RECOVERIES = 3
AUTOMATIC_WINDOW_S = 60.0
WEIGHTLESS = ("waist", "forearm_roll", "wrist_rotate", "gripper")
"""Motors that hold up no part of the arm, so that losing one's torque for a reboot lets nothing fall."""


class Fault(enum.StrEnum):
    """Names of failures, as ArmState and the records carry them."""

    ERROR_INPUT_VOLTAGE = "error_input_voltage"
    ERROR_OVERHEATING = "error_overheating"
    ERROR_ENCODER = "error_encoder"
    ERROR_ELECTRICAL_SHOCK = "error_electrical_shock"
    ERROR_OVERLOAD = "error_overload"
    ERROR_UNKNOWN = "error_unknown"
    MOTOR_MISSING = "motor_missing"
    TORQUE_LOST = "torque_lost"
    OVERLOAD = "overload"
    STUCK = "stuck"
    IMPLAUSIBLE_READING = "implausible_reading"
    STATES_LATE = "states_late"
    STATES_FROZEN = "states_frozen"
    SERVICE_SILENT = "service_silent"
    USB_GONE = "usb_gone"


class Recovery(enum.Enum):
    """Who ends a fault; the value is how the document says it."""

    AUTOMATIC = "by itself"
    REBOOT = "by itself for a motor that carries no weight, else the operator"
    OPERATOR = "the operator"


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One row of the table.

    Attributes:
        detection: how it is told. within_s: from its begin, at the settings of config/widowx.yaml.
        relieve: HOLD takes the measured pose as its goal, so that the arm stops pushing; otherwise HOLD leaves the
            last goal, because readings or motors cannot be trusted with a new one.
        remedy: what the person is told to do, after the words on what happened to which motor.
        recovery: who ends it. steps: in which order.
    """

    detection: str
    within_s: float
    remedy: str
    recovery: Recovery
    steps: tuple[str, ...]
    relieve: bool = False


RESEAT = "the target becomes the measured pose, the motors' set-up is verified again"
SLOW = "the next reset moves slowly"
_REBOOT = (
    "reboot of that motor",
    "error registers and torque are read back",
    RESEAT,
    SLOW,
)
_CLEAR = ("the operator supports the arm and clears", *_REBOOT)
_ERRORS = "register Hardware_Error_Status, polled, bit"

TABLE: dict[Fault, FaultSpec] = {
    Fault.ERROR_INPUT_VOLTAGE: FaultSpec(
        f"{_ERRORS} 0",
        POLL_DETECTION_S,
        "check the 12 V supply and the power hub, then clear",
        Recovery.OPERATOR,
        _CLEAR,
    ),
    Fault.ERROR_OVERHEATING: FaultSpec(
        f"{_ERRORS} 2",
        POLL_DETECTION_S,
        "support the arm, let the motor cool for ten minutes, then clear",
        Recovery.OPERATOR,
        _CLEAR,
    ),
    Fault.ERROR_ENCODER: FaultSpec(
        f"{_ERRORS} 3",
        POLL_DETECTION_S,
        "support the arm and clear; if it comes back, the motor must be replaced",
        Recovery.OPERATOR,
        _CLEAR,
    ),
    Fault.ERROR_ELECTRICAL_SHOCK: FaultSpec(
        f"{_ERRORS} 4",
        POLL_DETECTION_S,
        "check the supply and the motor's cable for shorts, then clear",
        Recovery.OPERATOR,
        _CLEAR,
    ),
    Fault.ERROR_OVERLOAD: FaultSpec(
        f"{_ERRORS} 5",
        POLL_DETECTION_S,
        "take away what the motor pushes against, support the arm, then clear",
        Recovery.REBOOT,
        _REBOOT,
    ),
    Fault.ERROR_UNKNOWN: FaultSpec(
        f"{_ERRORS} 1, 6 or 7",
        POLL_DETECTION_S,
        "support the arm and clear; if it comes back, read the motor's manual for the value",
        Recovery.OPERATOR,
        _CLEAR,
    ),
    Fault.MOTOR_MISSING: FaultSpec(
        "a register read brings fewer values than there are motors, and the motor does not answer alone either",
        POLL_DETECTION_S,
        "support the arm, check the cable to the motor and the one before it, then clear",
        Recovery.OPERATOR,
        (
            "the operator supports the arm and clears",
            "all motors answer, errors and torque are read back",
            RESEAT,
            SLOW,
        ),
    ),
    Fault.TORQUE_LOST: FaultSpec(
        "register Torque_Enable, polled, is 0",
        POLL_DETECTION_S,
        "support the arm, then clear to switch the torque on where it stands",
        Recovery.OPERATOR,
        (
            "the operator supports the arm and clears",
            "torque on where the arm stands, and read back",
            RESEAT,
            SLOW,
        ),
    ),
    Fault.OVERLOAD: FaultSpec(
        "a joint's current is above its limit for 0.1 s of joint states",
        STREAM_DETECTION_S,
        "take away what the arm pushes against; it resets by itself, slowly",
        Recovery.AUTOMATIC,
        ("the goal becomes the measured pose at once", "currents are below their limits for 0.5 s", RESEAT, SLOW),
        relieve=True,
    ),
    Fault.STUCK: FaultSpec(
        "a joint is farther from its goal than `stuck_error_rad` and has not moved for 0.3 s of joint states; the time "
        "counts from when it is that far",
        STREAM_DETECTION_S,
        "free the arm, then clear",
        Recovery.OPERATOR,
        ("the goal becomes the measured pose at once", "the operator frees the arm and clears", RESEAT, SLOW),
        relieve=True,
    ),
    Fault.IMPLAUSIBLE_READING: FaultSpec(
        "10 joint states in a row outside the joint limits or leaping; a failed bus read shows as about -pi. "
        "Fewer are dropped unseen",
        STREAM_DETECTION_S,
        "check the motors' cables and the USB adapter if it comes back",
        Recovery.AUTOMATIC,
        ("plausible joint states for 0.5 s", RESEAT, SLOW),
    ),
    Fault.STATES_LATE: FaultSpec(
        "no joint state for `states_timeout_s`, or none that answers a command within `answer_timeout_s`",
        STREAM_DETECTION_S,
        "check that the xs_sdk driver runs and its USB cable",
        Recovery.AUTOMATIC,
        ("joint states come for 0.5 s", RESEAT, SLOW),
    ),
    Fault.STATES_FROZEN: FaultSpec(
        "joint states repeat one stamp for `states_timeout_s`, or exactly one reading until 0.15 s after a new goal; "
        "an arm that rests cannot be told from one whose readings froze until it is commanded",
        STREAM_DETECTION_S,
        "restart the xs_sdk driver if it lasts",
        Recovery.AUTOMATIC,
        ("readings change again for 0.5 s", RESEAT, SLOW),
    ),
    Fault.SERVICE_SILENT: FaultSpec(
        "a service of the driver does not answer within `service_timeout_s`",
        POLL_DETECTION_S,
        "restart the xs_sdk driver if it lasts",
        Recovery.AUTOMATIC,
        ("the service answers again", RESEAT, SLOW),
    ),
    Fault.USB_GONE: FaultSpec(
        "the device file of the U2D2 is gone, or every motor is missing while joint states are implausible",
        POLL_DETECTION_S,
        "plug the USB cable in, restart the xs_sdk driver, support the arm, then clear",
        Recovery.OPERATOR,
        ("the operator plugs it in, restarts the driver and clears", "as for a missing motor", RESEAT, SLOW),
    ),
}

ERROR_BITS: dict[int, tuple[Fault, str]] = {
    0: (Fault.ERROR_INPUT_VOLTAGE, "input voltage out of range"),
    2: (Fault.ERROR_OVERHEATING, "overheating"),
    3: (Fault.ERROR_ENCODER, "encoder failure"),
    4: (Fault.ERROR_ELECTRICAL_SHOCK, "electrical shock or too little power"),
    5: (Fault.ERROR_OVERLOAD, "overload"),
}
"""Bits of Hardware_Error_Status, from the control table of the Dynamixel X series."""

ERRORS = frozenset({fault for fault, _ in ERROR_BITS.values()} | {Fault.ERROR_UNKNOWN})
"""Faults that the error registers tell, which only a reboot of the motor ends."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, told: what happened in one phrase, and which motors it is about (none: the whole arm)."""

    fault: Fault
    detail: str
    motors: tuple[str, ...] = ()


def words(finding: Finding) -> str:
    """One line for the person: what happened, to which motor, what to do."""
    return f"{finding.detail}: {TABLE[finding.fault].remedy}"


def ends_by_itself(finding: Finding) -> bool:
    """Whether the software may end this fault without a person."""
    recovery = TABLE[finding.fault].recovery
    if recovery is Recovery.REBOOT:
        return bool(finding.motors) and set(finding.motors) <= set(WEIGHTLESS)
    return recovery is Recovery.AUTOMATIC


def decode_errors(motors: Sequence[str], registers: Sequence[int]) -> list[Finding]:
    """Faults in the Hardware_Error_Status values of as many `motors`, one finding a fault with all its motors."""
    found: dict[Fault, tuple[str, list[str]]] = {}
    for motor, value in zip(motors, registers, strict=True):
        for bit in range(8):
            if value >> bit & 1:
                fault, text = ERROR_BITS.get(bit, (Fault.ERROR_UNKNOWN, f"error {value:#04x}"))
                found.setdefault(fault, (text, []))[1].append(motor)
    return [Finding(fault, f"{', '.join(names)} {text}", tuple(names)) for fault, (text, names) in found.items()]


def markdown_table() -> str:
    """The table of docs/faults.md."""
    rows = [
        f"| `{fault}` | {spec.detection} | {spec.within_s:g} s | "
        f"HOLD {'at the measured pose' if spec.relieve else 'at the last goal'} | {spec.remedy} | "
        f"{spec.recovery.value}: {'; '.join(spec.steps)} |"
        for fault, spec in TABLE.items()
    ]
    head = "| name | told by | within | the arm | what to do | ended by |\n| --- | --- | --- | --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown_table(), end="")
