"""The MJCF scene: table, arm, the whole catalogue, and the two cameras.

The front camera faces the robot, so the robot's left, +y, is on the right of its image.
One model serves every task: the world parks what a task does not use, so that a reset never compiles anything.
Contacts are tuned for grasping by friction alone: elliptic cones with a high ratio of normal to tangential impedance.
"""

from __future__ import annotations

import mujoco

from sarl_ros.sim.objects import CATALOGUE, GRASPABLE
from widowx_bridge import WX250S_XML

CAMERAS = {"front": (480, 640), "wrist": (240, 320)}
"""Height and width of each camera's image."""
PARKED = (2.0, 0.0, -1.0)
"""Where absent objects are kept, out of every camera's sight."""

_HEAD = """
<mujoco model="tabletop">
  <include file="wx250s.xml"/>
  <compiler angle="radian" eulerseq="XYZ"/>
  <option timestep=".004" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <visual>
    <quality offsamples="0" numslices="20" numstacks="12"/>
    <global offwidth="640" offheight="480"/>
    <map znear=".02" zfar="6"/>
    <headlight ambient=".42 .42 .42" diffuse=".28 .28 .28" specular="0 0 0"/>
  </visual>
  <default>
    <default class="paint"><geom contype="0" conaffinity="0" mass="0"/></default>
    <default class="object"><geom density="350" friction="1 .01 .0005" condim="4" solref=".01 1"/></default>
  </default>
  <worldbody>
    <light directional="true" pos=".2 -.6 2" dir=".15 .35 -.9" diffuse=".42 .42 .40" specular=".1 .1 .1"/>
    <camera name="front" pos=".80 0 .58" xyaxes="0 1 0 -.743294 0 .668965" fovy="36"/>
    <geom name="table" type="box" pos=".3 0 -.02" size=".45 .55 .02" rgba=".74 .62 .47 1"/>
    <geom type="plane" pos="0 0 -.75" size="6 6 1" rgba=".80 .82 .84 1" class="paint"/>
"""


def scene_xml() -> str:
    """MJCF text of the scene; the arm is included as wx250s.xml."""
    bodies = []
    for name, thing in CATALOGUE.items():
        place = " ".join(map(str, PARKED))
        geoms = "".join(thing.geoms)
        if name in GRASPABLE:
            bodies.append(
                f'<body name="{name}" childclass="object" pos="{place}"><freejoint name="{name}"/>{geoms}</body>'
            )
        else:
            bodies.append(f'<body name="{name}" childclass="object" mocap="true" pos="{place}">{geoms}</body>')
    return _HEAD + "".join(bodies) + "</worldbody></mujoco>"


def build_model() -> mujoco.MjModel:
    """Compiles the scene."""
    return mujoco.MjModel.from_xml_string(scene_xml(), {"wx250s.xml": WX250S_XML.read_bytes()})
