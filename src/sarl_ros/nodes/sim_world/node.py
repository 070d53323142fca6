"""The `sim_world` node: the MuJoCo tabletop behind the wires of the real arm and the real cameras.

One thread owns the world, because an OpenGL context belongs to a thread; callbacks leave it work and wake it.

time: lockstep    A control period runs when its commands are there (see `command_queue`), as fast as it computes. Then
                  are published, with the new simulated time as their stamp: images, judgement, /clock, joint_states.
                  While nothing runs, all of them are repeated with their old stamp, so that late joiners and
                  restarted nodes see the world; who waits for a newer stamp is not misled.
time: realtime    Joint states at 100 Hz and images at 30 Hz on the steady clock; commands are carried out when they
                  come, with the servos' motion profile. Stamps are simulated time here too. A busy computer loses
                  images first, as cameras do, down to 5 Hz; then time itself slows, with a warning.
"""

from __future__ import annotations

import json
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from sarl_interfaces.msg import Judgement
from sarl_interfaces.srv import SimReset
from sarl_ros.core.task import TaskError
from sarl_ros.nodes.sim_world.cameras import SimCameras
from sarl_ros.nodes.sim_world.driver import MOTORS, SimDriver, distort, joint_state
from sarl_ros.parameters.sim_world import SimWorldParameters
from sarl_ros.ros import topics
from sarl_ros.ros.convert import to_time
from sarl_ros.ros.fast_subscription import FastSubscriptions
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare
from sarl_ros.sim.command_queue import CommandQueue
from sarl_ros.sim.fault_script import Faults, ScriptError, load_script, parse_script
from sarl_ros.sim.profile import Profile
from sarl_ros.sim.rendering import RenderingError
from sarl_ros.sim.tasks import load_sim_task
from sarl_ros.sim.world import World

STATE_PERIOD_S = 0.01
IMAGE_PERIOD_S = 1 / 30
SLOWEST_IMAGE_PERIOD_S = 0.2
JUDGEMENT_PERIOD_S = 0.2
REPEAT_PERIOD_S = 0.5
RESET_TIMEOUT_S = 60.0
MAX_TASK_CHARACTERS = 1_000
BUSY_S = 0.02
LATE_S = 0.5


@dataclass(slots=True, eq=False)
class _Reset:
    request: SimReset.Request
    done: threading.Event = field(default_factory=threading.Event)
    message: str = ""
    success: bool = False


class SimWorld(SarlNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("sim_world")
        settings = declare(self, SimWorldParameters)
        self._task_name, self._seed = settings.task, settings.seed
        self._wake = threading.Condition()
        self._commands = self._reset_count = 0
        self._faults: Faults | None = None
        self._queue = CommandQueue(settings.pwm_wait_s)
        self._resets: list[_Reset] = []
        self._closing = False
        self._pwm = 0.0
        self._behind_s = self._next_s = self._image_s = self._judgement_s = 0.0
        self._made = threading.Event()
        self._make_error: SetupError | None = None
        self._task = ""
        self._connect(settings.robot_name)
        if settings.fault_script:
            try:
                self._make_faults().add(load_script(Path(settings.fault_script)))
            except ScriptError as error:
                raise SetupError(str(error)) from None
        work = self._work_in_lockstep if settings.time == "lockstep" else self._work_in_realtime
        self._thread = threading.Thread(target=self._own_world, args=(work,), name="world", daemon=True)
        self._thread.start()
        self._made.wait()
        if self._make_error is not None:
            raise self._make_error
        self._fast.start()
        self.ready = True

    def _connect(self, robot_name: str) -> None:
        self._fast = FastSubscriptions(self)
        self._driver = SimDriver(self, self._fast, robot_name, self._on_group, self._on_pwm)
        self._clocks = self.create_publisher(Clock, topics.CLOCK, topics.STREAM)
        self._judgements = self.create_publisher(Judgement, topics.JUDGEMENT, topics.STREAM)
        self._cameras = SimCameras(self)
        self._fast.subscribe(String, topics.SIM_FAULT, self._on_fault, topics.STREAM)
        self.create_service(SimReset, topics.SIM_RESET, self._on_reset, callback_group=MutuallyExclusiveCallbackGroup())

    def _on_group(self, joints: NDArray[np.float64]) -> None:
        with self._wake:
            self._queue.add_group(joints, self.steady_s())
            self._wake.notify()

    def _on_pwm(self, pwm: float) -> None:
        with self._wake:
            self._queue.add_pwm(pwm)
            self._wake.notify()

    def _on_fault(self, message: String) -> None:
        """Entries of a fault script, from outside."""
        try:
            entries = parse_script(message.data)
        except ScriptError as error:
            self.boundary.reject(topics.SIM_FAULT, f"data: {error}")
            return
        self._make_faults().add(entries)
        with self._wake:
            self._wake.notify()

    def _make_faults(self) -> Faults:
        if self._faults is None:
            self._fault_events = self.create_publisher(String, topics.SIM_FAULT_EVENT, topics.LATCHED)
            self._faults = self._driver.faults = Faults()
        return self._faults

    def _on_reset(self, request: SimReset.Request, response: SimReset.Response) -> SimReset.Response:
        if request.seed < 0 or len(request.task) > MAX_TASK_CHARACTERS:
            response.message = f"seed {request.seed}, task {request.task[:40]!r}: give a seed of at least 0 and a task"
            return response
        reset = _Reset(request)
        with self._wake:
            self._resets.append(reset)
            self._wake.notify()
        finished = reset.done.wait(RESET_TIMEOUT_S)
        response.success = reset.success
        response.message = reset.message if finished else f"no reset within {RESET_TIMEOUT_S:g} s: restart sim_world"
        return response

    # What follows runs in the thread that owns the world.

    def _own_world(self, work) -> None:
        try:
            try:
                self._world = World()
                self._wanted = self._world.joints
                if self._task_name:
                    self._lay_out(self._task_name, self._seed, wide=False)
                self._world.render("front")
            except (TaskError, RenderingError) as error:
                self._make_error = SetupError(str(error))
                return
            finally:
                self._made.set()
            work()
            self._world.close()
        finally:
            for reset in self._resets:
                reset.message = "sim_world is ending"
                reset.done.set()

    def _lay_out(self, task: str, seed: int, wide: bool) -> None:
        """Raises TaskError."""
        self._world.reset(load_sim_task(task), seed, wide)
        self._task, self._seed = task, seed

    def _advance_faults(self) -> None:
        if self._faults is None:
            return
        now_s = self.steady_s()
        for change, entry in self._faults.advance(self._world.time_s, self._commands, self._reset_count, now_s):
            if change == "begin":
                self._driver.strike(entry)
            self.get_logger().warning(f"{change} of {entry}")
            told = {"change": change, "fault": entry.fault, "motor": entry.motor, "steady_s": now_s}
            self._fault_events.publish(String(data=json.dumps(told)))

    def _goal(self, joints: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the arm follows of the goals (6,) that it was given."""
        if not self._driver.arm_torque:
            return self._world.joints
        self._wanted = joints
        return joints if self._faults is None else self._faults.held_joints(joints, self._world.joints)

    def _do_resets(self) -> bool:
        """Carry out what resets wait; True if there were any."""
        with self._wake:
            resets, self._resets = self._resets, []
            if resets:
                self._queue.clear()
        self._reset_count += len(resets)
        if resets:
            self._advance_faults()
        for reset in resets:
            try:
                self._lay_out(reset.request.task, reset.request.seed, reset.request.wide)
                reset.success = True
            except TaskError as error:
                reset.message = str(error)
            except Exception as error:
                reset.message = f"the reset failed ({type(error).__name__}: {error}): restart sim_world"
                self.get_logger().error(traceback.format_exc())
        return self._finish(resets)

    def _finish(self, resets: list[_Reset]) -> bool:
        if resets:
            self._publish_all()
        for reset in resets:
            reset.done.set()
        return bool(resets)

    def _work_in_lockstep(self) -> None:
        self._publish_all()
        published_s = self.steady_s()
        warned = False
        while True:
            self._advance_faults()
            with self._wake:
                period = self._queue.take(self.steady_s())
                if period is None and not self._resets and not self._closing:
                    repeat_s = published_s + REPEAT_PERIOD_S - self.steady_s()
                    pwm_s = self._queue.wait_s(self.steady_s())
                    if repeat_s > 0:
                        self._wake.wait(repeat_s if pwm_s is None else min(repeat_s, pwm_s))
                        continue
                if self._closing:
                    return
            if period is not None:
                if period.kept and not warned:
                    self.get_logger().warning("a period got no gripper PWM in time, the last one is kept")
                    warned = True
                self._commands += 1
                self._advance_faults()
                self._world.step(self._goal(period.joints), period.gripper_pwm if self._driver.gripper_torque else 0.0)
                self._publish_all()
            elif not self._do_resets():
                self._repeat()
            published_s = self.steady_s()

    def _work_in_realtime(self) -> None:
        world = self._world
        self._start_realtime()
        while True:
            now_s = self.steady_s() + self._behind_s
            with self._wake:
                if self._closing:
                    return
                if not self._resets and now_s < self._next_s:
                    self._wake.wait(self._next_s - now_s)
                    continue
                goals, pwms = self._queue.drain()
            if self._do_resets():
                self._start_realtime()
                continue
            if now_s - self._next_s > LATE_S:
                self.get_logger().warning("the simulation is slower than real time", throttle_duration_sec=10.0)
                self._behind_s += self._next_s - now_s
            self._commands += len(goals)
            self._advance_faults()
            if self._faults is not None and self._faults.find("usb_gone"):
                goals, pwms = [], []
            self._profile.duration_s, self._profile.acceleration_s = self._driver.profile_s
            for goal in goals:
                self._profile.go(goal, world.time_s)
            self._pwm = pwms[-1] if pwms else self._pwm
            self._step_realtime(behind_s=now_s - self._next_s)

    def _start_realtime(self) -> None:
        """Simulated and steady time go on together from here."""
        world = self._world
        self._profile = Profile(world.joints, *self._driver.profile_s)
        self._pwm = 0.0
        self._behind_s = world.time_s - self.steady_s()
        self._next_s = self._image_s = self._judgement_s = world.time_s

    def _step_realtime(self, behind_s: float) -> None:
        world = self._world
        self._next_s += STATE_PERIOD_S
        if not self._driver.arm_torque:
            self._profile = Profile(world.joints, *self._driver.profile_s)
        pwm = self._pwm if self._driver.gripper_torque else 0.0
        world.step(self._goal(self._profile.at(self._next_s)), pwm, self._next_s - world.time_s)
        self._publish_clock()
        self._publish_state()
        late_s = world.time_s - self._image_s
        if late_s >= SLOWEST_IMAGE_PERIOD_S or (late_s >= 0 and behind_s < BUSY_S):
            self._image_s = max(self._image_s + IMAGE_PERIOD_S, world.time_s)
            self._publish_images()
        if world.time_s >= self._judgement_s:
            self._judgement_s = world.time_s + JUDGEMENT_PERIOD_S
            self._publish_judgement()

    def _stamp_ns(self) -> int:
        return round(self._world.time_s * 1e6) * 1000

    def _publish_all(self) -> None:
        """The order matters to nobody who waits for stamps, but it spares waiting."""
        self._publish_images()
        self._publish_judgement()
        self._publish_clock()
        self._publish_state()

    def _publish_images(self) -> None:
        self._cameras.take(self._world.render, self._stamp_ns())
        self._cameras.send(self._faults)

    def _repeat(self) -> None:
        self._cameras.send(self._faults)
        self._publish_judgement()
        self._publish_clock()
        self._publish_state()

    def _publish_judgement(self) -> None:
        judgement = self._world.judge()
        message = Judgement(
            task=self._task,
            seed=self._seed,
            success=judgement.success,
            subgoals=list(judgement.subgoals),
            reached=list(judgement.reached),
            suitable_prompts=list(judgement.suitable),
        )
        message.header.stamp = to_time(self._stamp_ns())
        self._judgements.publish(message)

    def _publish_clock(self) -> None:
        self._clocks.publish(Clock(clock=to_time(self._stamp_ns())))

    def _publish_state(self) -> None:
        world = self._world
        message = joint_state(self._stamp_ns(), world.joints, world.joint_velocity, world.joint_effort, world.fingers)
        self._driver.positions = np.array(message.position[: len(MOTORS)])
        if self._faults is None or distort(message, self._faults, self._wanted):
            self._driver.publish(message)

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._fast.close()
        if self._faults is not None:
            self._faults.close()
        self._thread.join(timeout=3.0)


def main() -> None:
    run_node(SimWorld)


if __name__ == "__main__":
    main()
