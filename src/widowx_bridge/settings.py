"""The parameters of the WidowX's bridge, and what they mean to its parts. Free of ROS."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from sarl_ros.parameters.base import Count, Metres, NodeParameters, PositiveSeconds, Seconds, TopicPart
from widowx_bridge.arm import RESET_POSITION, ArmController
from widowx_bridge.detectors import Watch
from widowx_bridge.motors import MotorSettings
from widowx_bridge.safety import Limits, Refused

_DEFAULTS = Limits()
Milliseconds = Annotated[int, Field(ge=0, le=32_767)]
Point = tuple[Metres, Metres, Metres]


def _corner(values: np.ndarray) -> Point:
    x, y, z = map(float, values)
    return x, y, z


def _of_length(*lengths: int) -> AfterValidator:
    """So many numbers, or one 0 for none."""

    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        if values != (0,) and len(values) not in lengths:
            numbers = " or ".join(map(str, sorted({min(lengths), max(lengths)})))
            raise ValueError(f"has {len(values)} numbers: give {numbers}, or one 0 for none")
        return values

    return AfterValidator(check)


Efforts = Annotated[tuple[Annotated[float, Field(ge=0, le=100_000)], ...], _of_length(6)]
Registers = tuple[Annotated[int, Field(ge=0, le=16_383)], ...]


class BridgeParameters(NodeParameters):
    bridge: Literal["widowx"] = Field(default="widowx", description="whose driver this is, see runs.bringup.BRIDGES")
    robot_name: TopicPart = Field(default="wx250s", description="namespace of the xs_sdk driver")
    driver: Literal["topics", "modules"] = Field(
        default="topics", description="topics: the driver's own wire; modules: interbotix_xs_modules"
    )
    gripper_pressure: float = Field(
        default=0.5, ge=0, le=1, description="0..1 for PWM 150..350; high pressure overloads the motor"
    )
    sticky_steps: int = Field(default=1, ge=1, le=100, description="requests in a row that flip the gripper")
    reset_position: Point = Field(
        default=_corner(np.array(RESET_POSITION)), description="x y z [m] of the gripper, straight down"
    )
    idle_rate_hz: float = Field(default=10.0, gt=0, le=100, description="of arm states that answer no command")
    service_timeout_s: PositiveSeconds = Field(
        default=10.0, description="without an answer a driver's service is dead [s]"
    )
    motor_poll_period_s: Seconds = Field(default=1.0, description="of the motors' registers [s]; 0: never")
    usb_device: str = Field(default="", description="file that is there while USB is; empty: not watched")
    stop_file: str = Field(default="", description="where a stop outlives this process; empty: it does not")
    workspace_low: Point = Field(
        default=_corner(_DEFAULTS.workspace_low), description="corner x y z [m] of the workspace box"
    )
    workspace_high: Point = Field(default=_corner(_DEFAULTS.workspace_high), description="opposite corner x y z [m]")
    table_height: Metres = Field(
        default=0.0, description="z [m] of the table's surface; it raises the box where needed"
    )
    speed_scale: float = Field(
        default=1.0, gt=0, le=1, description="0..1, of every delta and of resets; below 1 for first runs"
    )
    max_translation_m: float = Field(
        default=_DEFAULTS.max_translation_m, gt=0, le=0.5, description="clip of dx dy dz [m]"
    )
    max_rotation_rad: float = Field(
        default=_DEFAULTS.max_rotation_rad, gt=0, le=math.pi, description="clip of rotations [rad]"
    )
    joint_velocity: float = Field(default=float(_DEFAULTS.joint_velocity), gt=0, le=10, description="limit [rad/s]")
    joint_acceleration: float = Field(
        default=0.0, ge=0, le=1000, description="limit of gaining speed [rad/s^2]; 0: none"
    )
    effort_limits: Efforts = Field(default=(0.0,), description="of the six joints, in mA; one 0 turns the watch off")
    answer_timeout_s: PositiveSeconds = Field(default=1.0, description="from a command to its joint state [s]")
    states_timeout_s: Seconds = Field(default=0.0, description="without a new joint state [s]; 0: not watched")
    stuck_error_rad: float = Field(
        default=0.3, ge=0, le=math.pi, description="of a joint that does not move [rad]; 0: never"
    )
    watchdog_periods: Count = Field(default=0, description="without a command, then the arm is told to stay; 0: off")
    position_gains: Annotated[Registers, _of_length(3)] = Field(
        default=(0,), description="P, I and D of the arm's motors; one 0: as they are"
    )
    current_limits: Annotated[Registers, _of_length(1, 2, 3, 4, 5)] = Field(
        default=(0,), description="register Current_Limit from the waist on; one 0: as they are"
    )
    profile_velocity_ms: Milliseconds = Field(default=250, description="of a motion profile; 1.25 control periods")
    profile_acceleration_ms: Milliseconds = Field(default=100, description="its acceleration; half a period")
    verify_registers: bool = Field(default=True, description="read back and watch; off for a driver without motors")

    @model_validator(mode="after")
    def _a_workspace(self) -> Self:
        low, high = self.workspace_low, self.workspace_high
        if not all(bottom < top for bottom, top in zip(low, high, strict=True)):
            raise ValueError(f"workspace_low {list(low)} is not below workspace_high {list(high)}: give x y z of each")
        if self.limits().workspace_low[2] >= high[2]:
            raise ValueError(
                f"table_height {self.table_height:g} leaves nothing of the workspace below {high[2]:g}: measure it"
            )
        try:
            self.controller()
        except Refused as error:
            raise ValueError(str(error)) from None
        return self

    def limits(self) -> Limits:
        return Limits(
            workspace_low=np.array(self.workspace_low),
            workspace_high=np.array(self.workspace_high),
            max_translation_m=self.max_translation_m,
            max_rotation_rad=self.max_rotation_rad,
            joint_velocity=self.joint_velocity,
            joint_acceleration=self.joint_acceleration or math.inf,
            speed_scale=self.speed_scale,
            table_height_m=self.table_height,
        )

    def controller(self) -> ArmController:
        """The arm as these say; they are refused where its reset position cannot be reached."""
        return ArmController(self.limits(), self.gripper_pressure, self.sticky_steps, self.reset_position)

    def watch(self) -> Watch:
        return Watch(
            answer_timeout_s=self.answer_timeout_s,
            states_timeout_s=self.states_timeout_s,
            effort_limits=_unless_zero(self.effort_limits),
            stuck_error_rad=self.stuck_error_rad,
            idle_periods=self.watchdog_periods,
        )

    def motors(self) -> MotorSettings:
        return MotorSettings(
            profile_velocity_ms=self.profile_velocity_ms,
            profile_acceleration_ms=self.profile_acceleration_ms,
            gains=_unless_zero(self.position_gains),
            current_limits=_unless_zero(self.current_limits),
            verify=self.verify_registers,
        )


def _unless_zero(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return () if values == (0,) else values
