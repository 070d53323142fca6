"""Stands in for the vendor's module of this name (branch jazzy): its class, methods and attributes, no more."""

from __future__ import annotations

import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import JointState

from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
from interbotix_xs_msgs.srv import MotorGains, OperatingModes, Reboot, RegisterValues, RobotInfo, TorqueEnable


class InterbotixRobotXSCore:
    def __init__(
        self,
        robot_model,
        robot_name=None,
        topic_joint_states="joint_states",
        logging_level=None,
        node_name="interbotix_robot_manipulation",
        node=None,
        args=None,
    ):
        self.robot_model, self.robot_name = robot_model, robot_name or robot_model
        self.ns = f"/{self.robot_name}"
        self.robot_node = node
        self.joint_states = None
        group = ReentrantCallbackGroup()

        def client(kind, name):
            return node.create_client(kind, f"{self.ns}/{name}", callback_group=group)

        self.srv_set_op_modes = client(OperatingModes, "set_operating_modes")
        self.srv_set_pids = client(MotorGains, "set_motor_pid_gains")
        self.srv_set_reg = client(RegisterValues, "set_motor_registers")
        self.srv_get_reg = client(RegisterValues, "get_motor_registers")
        self.srv_get_info = client(RobotInfo, "get_robot_info")
        self.srv_torque = client(TorqueEnable, "torque_enable")
        self.srv_reboot = client(Reboot, "reboot_motors")
        while not self.srv_set_op_modes.wait_for_service(timeout_sec=5.0) and rclpy.ok():
            pass
        for other in (self.srv_set_pids, self.srv_set_reg, self.srv_get_reg, self.srv_get_info, self.srv_torque):
            other.wait_for_service()
        self.srv_reboot.wait_for_service()
        self.pub_group = node.create_publisher(JointGroupCommand, f"{self.ns}/commands/joint_group", 10)
        self.pub_single = node.create_publisher(JointSingleCommand, f"{self.ns}/commands/joint_single", 10)
        node.create_subscription(
            JointState, f"{self.ns}/{topic_joint_states}", self._joint_state_cb, 10, callback_group=group
        )
        while self.joint_states is None and rclpy.ok():
            rclpy.spin_once(node)

    def get_node(self):
        return self.robot_node

    def _joint_state_cb(self, message):
        self.joint_states = message

    def _ask(self, client, request):
        future = client.call_async(request)
        self.robot_node.wait_until_future_complete(future)
        return future.result()

    def robot_set_operating_modes(
        self, cmd_type, name, mode, profile_type="velocity", profile_velocity=0, profile_acceleration=0
    ):
        self._ask(
            self.srv_set_op_modes,
            OperatingModes.Request(
                cmd_type=cmd_type,
                name=name,
                mode=mode,
                profile_type=profile_type,
                profile_velocity=profile_velocity,
                profile_acceleration=profile_acceleration,
            ),
        )

    def robot_set_motor_pid_gains(
        self, cmd_type, name, kp_pos, ki_pos=0, kd_pos=0, k1=0, k2=0, kp_vel=100, ki_vel=1920
    ):
        gains = dict(kp_pos=kp_pos, ki_pos=ki_pos, kd_pos=kd_pos, k1=k1, k2=k2, kp_vel=kp_vel, ki_vel=ki_vel)
        self._ask(self.srv_set_pids, MotorGains.Request(cmd_type=cmd_type, name=name, **gains))

    def robot_set_motor_registers(self, cmd_type, name, reg, value):
        self._ask(self.srv_set_reg, RegisterValues.Request(cmd_type=cmd_type, name=name, reg=reg, value=value))

    def robot_get_motor_registers(self, cmd_type, name, reg):
        return self._ask(self.srv_get_reg, RegisterValues.Request(cmd_type=cmd_type, name=name, reg=reg)).values

    def robot_get_robot_info(self, cmd_type, name):
        return self._ask(self.srv_get_info, RobotInfo.Request(cmd_type=cmd_type, name=name))

    def robot_torque_enable(self, cmd_type, name, enable):
        self._ask(self.srv_torque, TorqueEnable.Request(cmd_type=cmd_type, name=name, enable=enable))

    def robot_reboot_motors(self, cmd_type, name, enable, smart_reboot=False):
        request = Reboot.Request(cmd_type=cmd_type, name=name, enable=enable, smart_reboot=smart_reboot)
        self._ask(self.srv_reboot, request)

    def robot_write_commands(self, group_name, commands):
        self.pub_group.publish(JointGroupCommand(name=group_name, cmd=commands))

    def robot_write_joint_command(self, joint_name, command):
        self.pub_single.publish(JointSingleCommand(name=joint_name, cmd=command))
