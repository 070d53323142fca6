"""The xs_sdk driver of the simulated arm: its topics, services and registers, answered as the vendor's answers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import JointState

from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
from interbotix_xs_msgs.srv import MotorGains, OperatingModes, Reboot, RegisterValues, RobotInfo, TorqueEnable
from sarl_ros.ros import topics
from sarl_ros.ros.checked_node import CheckedNode
from sarl_ros.ros.convert import to_time
from sarl_ros.ros.fast_subscription import FastSubscriptions
from sarl_ros.sim.fault_script import ERRORS, REGISTER_FAULTS, Faults, ScriptedFault
from widowx_bridge.arm import FINGER_CLOSED_M, FINGER_OPEN_M
from widowx_bridge.kinematics import JOINT_LOWER, JOINT_NAMES, JOINT_UPPER, VELOCITY_LIMIT

GRIPPER = "gripper"
MOTORS = (*JOINT_NAMES, GRIPPER)
LEFT_FINGER = "left_finger"
STATE_NAMES = [*MOTORS, LEFT_FINGER, "right_finger"]
CURRENT_MOTORS = JOINT_NAMES[:5]
"""Motors that have a current limit; the smaller ones at the end have none."""
RAM = {
    "Hardware_Error_Status": 0,
    "Torque_Enable": 0,
    "Profile_Velocity": 0,
    "Profile_Acceleration": 0,
    "Position_P_Gain": 800,
    "Position_I_Gain": 0,
    "Position_D_Gain": 0,
}
"""What a motor that starts holds in its RAM."""
IDS = (1, 2, 4, 6, 7, 8, 9)
SLEEP = (0.0, -1.80, 1.55, 0.0, 0.8, 0.0, 0.0)
HORN_M, ROD_M = 0.014, 0.024


def gripper_angle(finger_m: float) -> float:
    """Angle of the gripper's motor in rad for a finger position in m: a crank of horn and rod."""
    finger = min(max(finger_m, FINGER_CLOSED_M), FINGER_OPEN_M)
    return float(np.arcsin((finger**2 + HORN_M**2 - ROD_M**2) / (2 * HORN_M * finger)))


def to_ticks(angles: NDArray[np.float64]) -> list[int]:
    """Angles in rad as a motor's position register has them: 4096 a turn, 2048 at 0."""
    return [2048 + round(float(angle) * 4096 / (2 * np.pi)) for angle in angles]


class SimDriver:
    """Endpoints under /<robot name>; commands go to the two callbacks.

    Args:
        fast: whose thread takes the commands.
        on_group: takes position goals (6,) in rad. on_pwm: takes the gripper's PWM.
    """

    def __init__(
        self,
        node: CheckedNode,
        fast: FastSubscriptions,
        robot_name: str,
        on_group: Callable[[NDArray[np.float64]], None],
        on_pwm: Callable[[float], None],
    ) -> None:
        self._node = node
        self._on_group, self._on_pwm = on_group, on_pwm
        self.positions: NDArray[np.float64] = np.zeros(len(MOTORS))
        """Of the motors, rad, whatever the joint states tell."""
        self.faults: Faults | None = None
        self._modes = {motor: ("pwm" if motor == GRIPPER else "position", "time") for motor in MOTORS}
        self._registers = {
            **{register: dict.fromkeys(MOTORS, value) for register, value in RAM.items()},
            "Torque_Enable": dict.fromkeys(MOTORS, 1),
            "Profile_Velocity": dict.fromkeys(MOTORS, 2000),
            "Profile_Acceleration": dict.fromkeys(MOTORS, 300),
            "Current_Limit": dict.fromkeys(CURRENT_MOTORS, 1193),
        }
        prefix = f"/{robot_name}"
        self._states = node.create_publisher(JointState, f"{prefix}/joint_states", topics.STREAM)
        self._group_topic, self._single_topic = f"{prefix}/commands/joint_group", f"{prefix}/commands/joint_single"
        fast.subscribe(JointGroupCommand, self._group_topic, self._on_joint_group, topics.STREAM)
        fast.subscribe(JointSingleCommand, self._single_topic, self._on_joint_single, topics.STREAM)
        services = MutuallyExclusiveCallbackGroup()
        for name, kind, callback in (
            ("torque_enable", TorqueEnable, self._torque_enable),
            ("set_operating_modes", OperatingModes, self._set_operating_modes),
            ("set_motor_pid_gains", MotorGains, self._set_motor_pid_gains),
            ("get_robot_info", RobotInfo, self._get_robot_info),
            ("get_motor_registers", RegisterValues, self._get_motor_registers),
            ("set_motor_registers", RegisterValues, self._set_motor_registers),
            ("reboot_motors", Reboot, self._reboot_motors),
        ):
            node.create_service(kind, f"{prefix}/{name}", self._answering(callback), callback_group=services)

    def _answering(self, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """`callback`, held back by a service that is slow or dead on purpose."""

        def answer(request: Any, response: Any) -> Any:
            if self.faults is not None:
                self.faults.hold_answer_back()
            return callback(request, response)

        return answer

    def strike(self, entry: ScriptedFault) -> None:
        """A scripted fault of a motor's registers begins: an error takes the motor's torque with it."""
        if entry.fault == "error_register":
            self._registers["Hardware_Error_Status"][entry.motor] = ERRORS[entry.error]
        if entry.fault in REGISTER_FAULTS:
            self._registers["Torque_Enable"][entry.motor] = 0
        if entry.fault == "motor_missing":  # the cable that carries its replies carries its power
            self._start_anew(entry.motor)

    def _start_anew(self, motor: str) -> None:
        """What a motor's RAM holds after a reboot or a loss of power: no torque, no error, no profile."""
        for register, value in RAM.items():
            self._registers[register][motor] = value

    @property
    def arm_torque(self) -> bool:
        """Whether all motors of the arm have torque."""
        torque = self._registers["Torque_Enable"]
        return all(torque[motor] for motor in JOINT_NAMES)

    @property
    def gripper_torque(self) -> bool:
        return bool(self._registers["Torque_Enable"][GRIPPER])

    @property
    def profile_s(self) -> tuple[float, float]:
        """Duration and acceleration time of the arm's motion profile; 0 for as fast as it goes."""
        duration, acceleration = self._registers["Profile_Velocity"], self._registers["Profile_Acceleration"]
        return max(0, min(map(duration.__getitem__, JOINT_NAMES))) * 1e-3, max(0, acceleration[JOINT_NAMES[0]]) * 1e-3

    def publish(self, message: JointState) -> None:
        self._states.publish(message)

    def _on_joint_group(self, message: JointGroupCommand) -> None:
        joints = np.array(message.cmd, np.float64)
        if message.name != "arm" or joints.shape != (6,):
            why = f"cmd: {joints.size} numbers for group {message.name[:40]!r}: send 6 to 'arm'"
            self._node.boundary.reject(self._group_topic, why)
            return
        self._on_group(np.clip(joints, JOINT_LOWER, JOINT_UPPER))

    def _on_joint_single(self, message: JointSingleCommand) -> None:
        if message.name != GRIPPER:
            why = f"name: a command to joint {message.name[:40]!r}: send a PWM to 'gripper'"
            self._node.boundary.reject(self._single_topic, why)
            return
        self._on_pwm(float(message.cmd))

    def _motors(self, cmd_type: str, name: str) -> list[str]:
        """The motors that a request means; empty with an error logged, as the vendor's driver does."""
        if cmd_type == "group" and name in ("arm", "all"):
            return list(JOINT_NAMES if name == "arm" else MOTORS)
        if cmd_type == "single" and name in MOTORS:
            return [name]
        self._node.get_logger().error(
            f"no {cmd_type[:40]!r} named {name[:40]!r}: the group is 'arm' or 'all', joints are {MOTORS}"
        )
        return []

    def _torque_enable(self, request, response):
        for motor in self._motors(request.cmd_type, request.name):
            self._switch_torque(motor, request.enable)
        return response

    def _switch_torque(self, motor: str, enable: bool) -> None:
        """A motor in an error state takes no torque until it was rebooted."""
        self._registers["Torque_Enable"][motor] = int(enable and not self._registers["Hardware_Error_Status"][motor])

    def _set_operating_modes(self, request, response):
        for motor in self._motors(request.cmd_type, request.name):
            self._modes[motor] = (request.mode, request.profile_type)
            self._registers["Profile_Velocity"][motor] = request.profile_velocity
            self._registers["Profile_Acceleration"][motor] = request.profile_acceleration
            self._switch_torque(motor, True)
        return response

    def _set_motor_pid_gains(self, request, response):
        for motor in self._motors(request.cmd_type, request.name):
            for letter, gain in (("P", request.kp_pos), ("I", request.ki_pos), ("D", request.kd_pos)):
                self._registers[f"Position_{letter}_Gain"][motor] = gain
        return response

    def _get_robot_info(self, request, response):
        motors = self._motors(request.cmd_type, request.name)
        if not motors:
            return response
        rows = [MOTORS.index(motor) for motor in motors]
        response.mode, response.profile_type = self._modes[motors[0]]
        response.joint_names = [LEFT_FINGER if motor == GRIPPER else motor for motor in motors]
        response.joint_ids = [IDS[row] for row in rows]
        response.joint_lower_limits = [float([*JOINT_LOWER, FINGER_CLOSED_M][row]) for row in rows]
        response.joint_upper_limits = [float([*JOINT_UPPER, FINGER_OPEN_M][row]) for row in rows]
        response.joint_velocity_limits = [float(VELOCITY_LIMIT)] * len(rows)
        response.joint_sleep_positions = [SLEEP[row] for row in rows]
        response.joint_state_indices = [STATE_NAMES.index(name) for name in response.joint_names]
        response.num_joints = len(rows)
        response.name = [request.name]
        return response

    def _get_motor_registers(self, request, response):
        register = self._registers.get(request.reg, {})
        if request.reg == "Present_Position":
            register = dict(zip(MOTORS, to_ticks(self.positions), strict=True))
        silent = self.faults.missing_motors() if self.faults is not None else ()
        motors = [motor for motor in self._motors(request.cmd_type, request.name) if motor not in silent]
        response.values = [register[motor] for motor in motors if motor in register]
        return response

    def _set_motor_registers(self, request, response):
        """Sets any register, so that a test can raise a hardware error."""
        register = self._registers.setdefault(request.reg, dict.fromkeys(MOTORS, 0))
        for motor in self._motors(request.cmd_type, request.name):
            if motor in register:
                register[motor] = request.value
        return response

    def _reboot_motors(self, request, response):
        errors = self._registers["Hardware_Error_Status"]
        for motor in self._motors(request.cmd_type, request.name):
            if errors[motor] or not request.smart_reboot:
                self._start_anew(motor)
                self._registers["Torque_Enable"][motor] = int(request.enable)
        return response


def joint_state(
    nanoseconds: int,
    joints: NDArray[np.float64],
    velocity: NDArray[np.float64],
    effort: NDArray[np.float64],
    fingers: NDArray[np.float64],
) -> JointState:
    """The driver's message: six joints, the gripper's motor, and the fingers (2,) in m, the right one negative."""
    message = JointState(name=STATE_NAMES)
    message.header.stamp = to_time(nanoseconds)
    message.position = [*joints, gripper_angle(float(fingers[0])), float(fingers[0]), -float(fingers[1])]
    message.velocity = [*velocity, 0.0, 0.0, 0.0]
    message.effort = [*effort, 0.0, 0.0, 0.0]
    return message


def distort(message: JointState, faults: Faults, goal: NDArray[np.float64]) -> bool:
    """Change a joint state as the faults do, `goal` (6,) being what the arm was told; False: do not send it."""
    position, velocity, effort = list(message.position), list(message.velocity), list(message.effort)
    send = faults.distort(position, velocity, effort, goal)
    message.position, message.velocity, message.effort = position, velocity, effort
    return send
