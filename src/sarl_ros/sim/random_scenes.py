"""Random still scenes for perception: objects strewn about, the arm anywhere over them, nothing moved by physics.

They are cheap and show every object from everywhere; what really happens to objects is left to demonstrations.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from sarl_ros.sim.objects import CATALOGUE, GRASPABLE, RECEPTACLES
from sarl_ros.sim.scene import PARKED
from widowx_bridge.arm import FINGER_CLOSED_M, FINGER_OPEN_M, ArmController
from widowx_bridge.kinematics import JOINT_NAMES, Kinematics, Unreachable
from widowx_bridge.poses import vector_to_pose

CLASSES = tuple(CATALOGUE)
TABLE_LOW, TABLE_HIGH = np.array([0.19, -0.21]), np.array([0.43, 0.21])
GRIPPER_LOW, GRIPPER_HIGH = np.array([0.18, -0.22, 0.015]), np.array([0.42, 0.22, 0.20])
CROWDING = 0.85
PAD_M = 0.009


class RandomScenes:
    """Draws scenes into a model's data.

    Attributes:
        present: (K,) bool, classes on the table or held; held: class in the gripper or -1.
        joints: (6,) rad; finger_m: position of the fingers.
    """

    def __init__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        self.data = mujoco.MjData(model)
        self._model, self._rng = model, rng
        self._kinematics = Kinematics()
        self._qpos = [int(model.joint(name).qposadr[0]) for name in JOINT_NAMES]
        self._fingers = [int(model.joint(f"{side}_finger").qposadr[0]) for side in ("left", "right")]
        self.joints: NDArray[np.float64] = ArmController().reset_joints
        self.finger_m = FINGER_OPEN_M
        self.present = np.zeros(len(CLASSES), bool)
        self.held = -1

    def draw(self) -> None:
        """Draw the next scene and place it: bodies and cameras stand where a renderer will look for them."""
        self.present[:] = False
        self.held = -1
        for name in CLASSES:
            self._put(name, np.array(PARKED), 0.0)
        spots = self._strew()
        if not self._reach(spots):
            return self.draw()
        self.finger_m = FINGER_OPEN_M if self._rng.random() < 0.8 else self._rng.uniform(FINGER_CLOSED_M, FINGER_OPEN_M)
        free = [name for name in GRASPABLE if name not in spots]
        if free and self._rng.random() < 0.3:
            self._hold(str(self._rng.choice(free)))
        self.data.qpos[self._qpos] = self.joints
        self.data.qpos[self._fingers] = self.finger_m
        mujoco.mj_kinematics(self._model, self.data)
        mujoco.mj_comPos(self._model, self.data)
        mujoco.mj_camlight(self._model, self.data)

    def _strew(self) -> dict[str, NDArray[np.float64]]:
        rng, spots = self._rng, dict[str, NDArray[np.float64]]()
        names = [str(n) for n in rng.permutation(RECEPTACLES)[: rng.integers(1, 5)]]
        names += [str(n) for n in rng.permutation(GRASPABLE)[: rng.integers(1, 6)]]
        for name in names:
            thing = CATALOGUE[name]
            height = thing.rest_height if thing.graspable else 0.0
            hosts = [n for n in spots if n in RECEPTACLES]
            if thing.graspable and hosts and rng.random() < 0.3:
                host = str(rng.choice(hosts))
                reach = np.clip(np.array(CATALOGUE[host].inner) - 0.02, 0.005, None)
                spot = spots[host][:2] + rng.uniform(-reach, reach)
                height += CATALOGUE[host].floor
            else:
                radii = {n: CATALOGUE[n].radius for n in spots}
                for _ in range(40):
                    spot = rng.uniform(TABLE_LOW, TABLE_HIGH)
                    if all(np.hypot(*(spot - spots[n][:2])) > CROWDING * (thing.radius + r) for n, r in radii.items()):
                        break
                else:
                    continue
            yaw = rng.uniform(-0.5, 0.5) if rng.random() < 0.75 else rng.uniform(-np.pi, np.pi)
            spots[name] = np.array([*spot, height])
            self._put(name, spots[name], yaw)
            self.present[CLASSES.index(name)] = True
        return spots

    def _reach(self, spots: dict[str, NDArray[np.float64]]) -> bool:
        rng = self._rng
        position = rng.uniform(GRIPPER_LOW, GRIPPER_HIGH)
        if spots and rng.random() < 0.5:
            near = spots[str(rng.choice(list(spots)))]
            position[:2] = near[:2] + rng.normal(0.0, 0.02, 2)
            position[2] = rng.uniform(near[2] + 0.01, 0.15)
        position = np.clip(position, GRIPPER_LOW, GRIPPER_HIGH)
        rotation = rng.normal(0.0, 0.02, 3)
        try:
            self.joints = self._kinematics.inverse(vector_to_pose([*position, *rotation]), self.joints)
        except Unreachable:
            return False
        self._gripper = position
        return True

    def _hold(self, name: str) -> None:
        rng, thing = self._rng, CATALOGUE[name]
        drop = max(0.0, thing.grasp_height - thing.rest_height) + rng.normal(0.0, 0.004)
        self._put(
            name,
            self._gripper + np.array([rng.normal(0.0, 0.008), rng.normal(0.0, 0.002), -drop]),
            rng.normal(0.0, 0.25),
            rng.normal(0.0, 0.12, 2),
        )
        body = self._model.body(name)
        size = self._model.geom_size[body.geomadr[0]]
        self.finger_m = float(np.clip(min(size[0], size[1] or size[0]), 0.010, 0.0185)) + PAD_M
        self.held = CLASSES.index(name)
        self.present[self.held] = True

    def _put(
        self, name: str, position: NDArray[np.float64], yaw: float, tilt: NDArray[np.float64] | None = None
    ) -> None:
        pitch, roll = tilt if tilt is not None else (0.0, 0.0)
        turn = np.zeros(4)
        mujoco.mju_euler2Quat(turn, np.array([yaw, pitch, roll]), "zyx")
        if name in GRASPABLE:
            start = int(self._model.joint(name).qposadr[0])
            self.data.qpos[start : start + 3], self.data.qpos[start + 3 : start + 7] = position, turn
        else:
            mocap = int(self._model.body(name).mocapid[0])
            self.data.mocap_pos[mocap], self.data.mocap_quat[mocap] = position, turn
