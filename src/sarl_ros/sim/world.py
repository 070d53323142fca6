"""The simulated tabletop: what the real arm, table and cameras are on hardware.

It takes joint goals and a gripper PWM, as the servos do, and knows nothing of actions, prompts or policies. The same
task, seed and commands give bitwise the same states.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarl_ros.core.task import TaskError
from sarl_ros.sim.judge import Facts, Judgement, judge
from sarl_ros.sim.objects import CATALOGUE, GRASPABLE
from sarl_ros.sim.rendering import HIDDEN_GROUP, CameraRenderer
from sarl_ros.sim.scene import CAMERAS, PARKED, build_model
from sarl_ros.sim.tasks import HOME, SimTask, sample_layout
from widowx_bridge.arm import FINGER_OPEN_M
from widowx_bridge.kinematics import JOINT_NAMES, Kinematics, Unreachable
from widowx_bridge.poses import vector_to_pose

CONTROL_PERIOD_S = 0.2
NEWTON_PER_PWM = 0.0172
"""Force of each finger: 6 N at a PWM of 350."""
MILLIAMPERE_PER_NM = 560.0
"""Current of a servo by its torque, about that of the XM430-W350; joint efforts are given as the driver gives them."""

_FINGERS = ("left_finger", "right_finger")
_RAMP_SHARE = 0.7
_CHUNKS = 10
_SETTLE_STEPS = 50
_HOLD_PWM = -250.0
_START_GUESS = (0.0, 0.02, 0.19, 0.0, 1.36, 0.0)


class World:
    """One simulated tabletop.

    Args:
        render: whether `render` may be called; without it no OpenGL is touched.
    """

    def __init__(self, render: bool = True):
        self._model = build_model()
        self._data = mujoco.MjData(self._model)
        self._kinematics = Kinematics()
        self._may_render = render
        self._renderer: CameraRenderer | None = None
        self._task: SimTask | None = None
        self._present: tuple[str, ...] = ()
        self._elapsed_s = 0.0
        model = self._model
        self._body = {name: model.body(name).id for name in CATALOGUE}
        self._name_of = {body: name for name, body in self._body.items()}
        self._free = {name: int(model.jnt_qposadr[model.joint(name).id]) for name in GRASPABLE}
        self._arm = np.array([model.jnt_qposadr[model.joint(name).id] for name in JOINT_NAMES])
        self._arm_dof = np.array([model.jnt_dofadr[model.joint(name).id] for name in JOINT_NAMES])
        self._finger = np.array([model.jnt_qposadr[model.joint(name).id] for name in _FINGERS])
        self._arm_motor = np.array([model.actuator(name).id for name in JOINT_NAMES])
        self._finger_motor = np.array([model.actuator(name).id for name in _FINGERS])
        self._site = model.site("ee_gripper").id
        self._pads = [model.geom(name).bodyid[0] for name in ("left_pad", "right_pad")]
        self._original = {
            field: getattr(model, field).copy()
            for field in ("geom_group", "geom_contype", "geom_conaffinity", "body_gravcomp")
        }
        self.reset(None, 0)

    def reset(self, task: SimTask | None, seed: int, wide: bool = False) -> None:
        """Lays out a task (None: an empty table) and puts the arm at its start, at rest, with the gripper open.

        Args:
            seed: of the layout's jitter.
            wide: draw the layout from the task's wide rectangle.

        Raises:
            TaskError: the start is out of reach, the objects do not fit, or the held object slips.
        """
        rng = np.random.default_rng(seed)
        layout = {} if task is None else sample_layout(task, rng, wide)
        joints = self._start_joints(task)
        model, data = self._model, self._data
        self._elapsed_s += data.time
        mujoco.mj_resetData(model, data)
        for field, values in self._original.items():
            getattr(model, field)[:] = values
        self._task, self._present = task, tuple(layout)
        for k, name in enumerate(CATALOGUE):
            if name in layout:
                self._lay(name, layout, task)
            else:
                self._park(name, k)
        data.qpos[self._arm] = joints
        data.qpos[self._finger] = FINGER_OPEN_M
        data.ctrl[self._arm_motor] = joints
        data.ctrl[self._finger_motor] = -_HOLD_PWM * NEWTON_PER_PWM
        mujoco.mj_forward(model, data)
        if task is not None and task.held is not None:
            self._hand_over(task.held, rng)
        mujoco.mj_step(model, data, _SETTLE_STEPS)
        self._refresh()
        if task is not None and task.held is not None and self.held() != task.held:
            raise TaskError(f"task {task.name}: {task.held} slips out of the gripper at the start: take another seed")

    def step(self, joints: ArrayLike, gripper_pwm: float, duration_s: float = CONTROL_PERIOD_S) -> None:
        """Moves towards joint goals for a while, as a servo's profile does, under a constant gripper PWM.

        Args:
            joints: (6,) rad. gripper_pwm: positive opens. duration_s: time that passes.
        """
        data = self._data
        start = data.ctrl[self._arm_motor].copy()
        goal = np.asarray(joints, np.float64)
        data.ctrl[self._finger_motor] = gripper_pwm * NEWTON_PER_PWM
        steps = max(1, round(duration_s / self._model.opt.timestep))
        done = 0
        for chunk in range(1, _CHUNKS + 1):
            data.ctrl[self._arm_motor] = start + (goal - start) * min(1.0, chunk / _CHUNKS / _RAMP_SHARE)
            count = round(steps * chunk / _CHUNKS) - done
            if count:
                mujoco.mj_step(self._model, data, count)
            done += count
        self._refresh()

    @property
    def time_s(self) -> float:
        """Simulated time [s]; it goes on through resets."""
        return self._elapsed_s + float(self._data.time)

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled scene, for labelling training data; leave it as it is."""
        return self._model

    @property
    def data(self) -> mujoco.MjData:
        """The true state, for labelling training data; leave it as it is."""
        return self._data

    @property
    def task(self) -> SimTask | None:
        """The task that is laid out."""
        return self._task

    @property
    def present(self) -> tuple[str, ...]:
        """Names of what is on the table."""
        return self._present

    @property
    def joints(self) -> NDArray[np.float64]:
        """(6,) rad."""
        return self._data.qpos[self._arm].copy()

    @property
    def joint_velocity(self) -> NDArray[np.float64]:
        """(6,) rad/s."""
        return self._data.qvel[self._arm_dof].copy()

    @property
    def joint_effort(self) -> NDArray[np.float64]:
        """(6,) mA that the servos would draw, the arm's weight included."""
        torque = self._data.qfrc_actuator[self._arm_dof] + self._data.qfrc_gravcomp[self._arm_dof]
        return torque * MILLIAMPERE_PER_NM

    @property
    def fingers(self) -> NDArray[np.float64]:
        """(2,) positions of the left and right finger [m], .015 closed .. .037 open."""
        return self._data.qpos[self._finger].copy()

    @property
    def gripper_position(self) -> NDArray[np.float64]:
        """(3,) position of the gripper frame [m]."""
        return self._data.site_xpos[self._site].copy()

    def object_pose(self, name: str) -> NDArray[np.float64]:
        """(4, 4) pose of something on the table. Raises KeyError for what is not there."""
        if name not in self._present:
            raise KeyError(f"{name} is not on the table")
        pose = np.eye(4)
        pose[:3, :3] = self._data.xmat[self._body[name]].reshape(3, 3)
        pose[:3, 3] = self._data.xpos[self._body[name]]
        return pose

    def object_position(self, name: str) -> NDArray[np.float64]:
        """(3,) position of something on the table [m]. Raises KeyError for what is not there."""
        return self.object_pose(name)[:3, 3]

    def held(self) -> str | None:
        """The object that both fingers touch and nothing else does."""
        return self.facts().held

    def facts(self) -> Facts:
        """What the judge needs, from the true state."""
        pairs = self._model.geom_bodyid[self._data.contact.geom].reshape(-1, 2)
        touching: dict[str, set[int]] = {}
        for first, second in pairs.tolist():
            for body, other in ((first, second), (second, first)):
                if body in self._name_of:
                    touching.setdefault(self._name_of[body], set()).add(other)
        pads = set(self._pads)
        hand = {*self._pads, self._model.body("gripper_link").id}
        held = [name for name, others in touching.items() if pads <= others and others <= hand]
        return Facts(
            positions={name: self._data.xpos[self._body[name]].copy() for name in self._present},
            gripper=self.gripper_position,
            held=held[0] if held else None,
            touched=frozenset(name for name, others in touching.items() if pads & others),
        )

    def judge(self) -> Judgement:
        """The present task's judgement; of an empty table nothing is asked and nothing reached."""
        if self._task is None:
            return Judgement(False, (), (), ())
        return judge(self._task, self.facts())

    def render(self, camera: str) -> NDArray[np.uint8]:
        """RGB image of a camera: "front" (480, 640, 3) or "wrist" (240, 320, 3) uint8.

        Raises:
            RenderingError: no OpenGL back-end works.
            RuntimeError: the world was made with render=False.
        """
        return self._draw().render(self._data, camera, *CAMERAS[camera])

    def render_at(self, camera: str, height: int, width: int) -> NDArray[np.uint8]:
        """As `render`, at another size of at most 480 x 640; the vertical field of view is the same."""
        return self._draw().render(self._data, camera, height, width)

    def visible(self, camera: str) -> dict[str, int]:
        """Pixels that each object on the table shows in a camera's image of 120 rows."""
        height, width = CAMERAS[camera]
        bodies = self._draw().segment(self._data, camera, 120, 120 * width // height)
        return {name: int((bodies == self._body[name]).sum()) for name in self._present}

    def close(self) -> None:
        """Frees the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _draw(self) -> CameraRenderer:
        if not self._may_render:
            raise RuntimeError("this world was made with render=False: make it with render=True")
        if self._renderer is None:
            self._renderer = CameraRenderer(self._model)
        return self._renderer

    def _refresh(self) -> None:
        """Brings positions and contacts up to the state that the last step ended in."""
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)

    def _start_joints(self, task: SimTask | None) -> NDArray[np.float64]:
        start = HOME if task is None else task.start
        try:
            return self._kinematics.inverse(vector_to_pose([*start, 0.0, 0.0, 0.0]), _START_GUESS)
        except Unreachable as error:
            name = task.name if task else "none"
            raise TaskError(f"task {name}: start {start}: {error}: take a point over the table") from None

    def _lay(self, name: str, layout: dict[str, tuple[float, float, float]], task: SimTask | None) -> None:
        x, y, yaw = layout[name]
        place = task.objects[name] if task is not None else None
        height = CATALOGUE[name].rest_height
        if place is not None and place.atop is not None:
            below = CATALOGUE[place.atop]
            height += max(below.rim, below.floor)
        turn = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        if name in self._free:
            address = self._free[name]
            self._data.qpos[address : address + 7] = [x, y, height + 0.001, *turn]
        else:
            mocap = self._model.body_mocapid[self._body[name]]
            self._data.mocap_pos[mocap] = [x, y, height]
            self._data.mocap_quat[mocap] = turn

    def _park(self, name: str, slot: int) -> None:
        """Takes an object out of the scene: unseen, untouchable, and afloat so that it costs nothing."""
        x, y, z = PARKED[0] + 0.3 * slot, PARKED[1], PARKED[2]
        body = self._body[name]
        first = self._model.body_geomadr[body]
        geoms = slice(first, first + self._model.body_geomnum[body])
        self._model.geom_group[geoms] = HIDDEN_GROUP
        self._model.geom_contype[geoms] = 0
        self._model.geom_conaffinity[geoms] = 0
        self._model.body_gravcomp[body] = 1.0
        if name in self._free:
            self._data.qpos[self._free[name] : self._free[name] + 7] = [x, y, z, 1.0, 0.0, 0.0, 0.0]
        else:
            self._data.mocap_pos[self._model.body_mocapid[body]] = [x, y, z]

    def _hand_over(self, name: str, rng: np.random.Generator) -> None:
        """Puts an object between the open fingers and closes them on it, a little off as a grasp leaves it."""
        model, data = self._model, self._data
        body, address = self._body[name], self._free[name]
        grip_above_origin = max(CATALOGUE[name].grasp_height - CATALOGUE[name].rest_height, 0.003)
        offset = [rng.uniform(-0.006, 0.006), 0.0, -grip_above_origin]
        data.qpos[address : address + 3] = data.site_xpos[self._site] + offset
        data.ctrl[self._finger_motor] = _HOLD_PWM * NEWTON_PER_PWM
        model.body_gravcomp[body] = 1.0
        mujoco.mj_step(model, data, _SETTLE_STEPS)
        model.body_gravcomp[body] = 0.0
