"""Draws docs/images/camera_placement.png: the simulated arm with its cameras and the Bridge camera, and what each sees.

.venv/bin/python tools/draw_cameras.py
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from sarl_ros.sim.scene import scene_xml
from widowx_bridge import WX250S_XML

OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "camera_placement.png"
# The Bridge camera as SimplerEnv has it, in the arm's base [m]; x along the view, z up; focal length [pixels].
BRIDGE_POSITION, BRIDGE_QUATERNION = (0.0, -0.16, 0.36), (0.909182, -0.0819809, 0.347277, 0.214629)
BRIDGE_FOCAL, BRIDGE_HEIGHT = 623.588, 480
START = (-0.01840777, 0.0398835, 0.22242722, -0.00460194, 1.36524296, 0.00153398)
JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
OBJECTS = {"hammer": (0.30, 0.06, 0.012), "mushroom": (0.25, -0.10, 0.02)}
COLOURS = {"front": ".85 .2 .15 1", "bridge": ".15 .35 .85 1", "wrist": ".1 .6 .25 1"}
REACH_M = 0.16


def rotation(quaternion: tuple[float, ...]) -> NDArray[np.float64]:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.array(quaternion))
    return matrix.reshape(3, 3)


def bridge_axes() -> str:
    """The Bridge camera's x and y axes as MuJoCo has them: x right, y up."""
    _, left, up = rotation(BRIDGE_QUATERNION).T
    return " ".join(f"{value:.6f}" for value in (*-left, *up))


def frustum(model: mujoco.MjModel, data: mujoco.MjData, name: str) -> str:
    """Geoms of a camera's body and the edges of what it sees."""
    camera = model.camera(name).id
    position, axes = data.cam_xpos[camera], data.cam_xmat[camera].reshape(3, 3)
    half = np.tan(np.radians(model.cam_fovy[camera]) / 2)
    reach = REACH_M if name != "wrist" else REACH_M / 2
    corners = [
        position + axes @ (reach * np.array([x * half * 4 / 3, y * half, -1.0]))
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    lines = [(position, corner) for corner in corners]
    lines += [(corners[k], corners[k - 1]) for k in range(4)]
    paint = f'class="paint" rgba="{COLOURS[name]}"'
    geoms = [
        f'<geom type="capsule" size=".0022" fromto="{" ".join(f"{v:.4f}" for v in (*a, *b))}" {paint}/>'
        for a, b in lines
    ]
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, axes.flatten())
    place = " ".join(f"{value:.4f}" for value in position)
    turn = " ".join(f"{value:.4f}" for value in quaternion)
    geoms.append(f'<geom type="box" size=".045 .0125 .0125" pos="{place}" quat="{turn}" {paint}/>')
    return "".join(geoms)


def build(extra: str) -> tuple[mujoco.MjModel, mujoco.MjData]:
    cameras = (
        f'<camera name="bridge" pos="{" ".join(map(str, BRIDGE_POSITION))}" xyaxes="{bridge_axes()}" '
        f'fovy="{2 * np.degrees(np.arctan(BRIDGE_HEIGHT / 2 / BRIDGE_FOCAL)):.3f}"/>'
        '<camera name="overview" pos="1.0 -1.1 .84" xyaxes=".82 .57 0 -.29 .41 .86" fovy="50"/>'
    )
    xml = scene_xml().replace("</worldbody>", f"{cameras}{extra}</worldbody>")
    model = mujoco.MjModel.from_xml_string(xml, {"wx250s.xml": WX250S_XML.read_bytes()})
    data = mujoco.MjData(model)
    for joint, value in zip(JOINTS, START, strict=True):
        data.joint(joint).qpos[0] = value
    for name, place in OBJECTS.items():
        data.joint(name).qpos[:3] = place
    mujoco.mj_forward(model, data)
    return model, data


def label(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    cv2.rectangle(picture, (0, 0), (picture.shape[1], 24), (255, 255, 255), -1)
    cv2.putText(picture, text, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.46, (30, 30, 30), 1, cv2.LINE_AA)
    return picture


def main() -> None:
    model, data = build("")
    drawn, drawn_data = build("".join(frustum(model, data, name) for name in COLOURS))
    renderer, overview = mujoco.Renderer(model, 480, 640), mujoco.Renderer(drawn, 480, 640)

    def view(name: str) -> NDArray[np.uint8]:
        renderer.update_scene(data, camera=name)
        return renderer.render().copy()

    overview.update_scene(drawn_data, camera="overview")
    tiles = [
        label(overview.render().copy(), "red: front camera of the simulator, blue: Bridge camera, green: wrist camera"),
        label(view("front"), "what the front camera sees: it faces the arm"),
        label(view("bridge"), "what the Bridge camera sees: it looks over the arm's right shoulder"),
        label(view("wrist"), "what the wrist camera sees: the fingers at the picture's edge"),
    ]
    picture = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    cv2.imwrite(str(OUTPUT), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(OUTPUT)


if __name__ == "__main__":
    main()
