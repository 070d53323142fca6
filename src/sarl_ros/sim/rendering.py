"""Offscreen rendering of the scene's cameras, made for speed: no shadows, reflections, skybox, haze, multisampling.

The back-end is the environment variable MUJOCO_GL where set (egl or osmesa), else OSMesa where its library is
installed, else EGL. It is chosen with the first renderer, so a world that draws nothing needs neither.
"""

from __future__ import annotations

import ctypes.util
import importlib
import os
import weakref
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.environment import GL_BACKENDS


class RenderingError(RuntimeError):
    """No usable OpenGL back-end."""


def choose_backend() -> str:
    """Names the back-end.

    Raises:
        RenderingError: MUJOCO_GL names none of `GL_BACKENDS`, or neither library is installed.
    """
    asked = os.environ.get("MUJOCO_GL", "").strip().lower()
    if asked:
        if asked not in GL_BACKENDS:
            raise RenderingError(
                f"MUJOCO_GL={asked} cannot render offscreen here: set it to osmesa or egl, or unset it"
            )
        return asked
    for backend, library in (("osmesa", "OSMesa"), ("egl", "EGL")):
        if ctypes.util.find_library(library):
            return backend
    raise RenderingError("no offscreen OpenGL library found: apt install libosmesa6 (or libegl1)")


_PLAIN = (
    mujoco.mjtRndFlag.mjRND_SHADOW,
    mujoco.mjtRndFlag.mjRND_REFLECTION,
    mujoco.mjtRndFlag.mjRND_SKYBOX,
    mujoco.mjtRndFlag.mjRND_HAZE,
)
HIDDEN_GROUP = 5
"""Geoms of this group are not drawn."""


class CameraRenderer:
    """Draws cameras of one model; one OpenGL context serves every size up to the model's offscreen buffer.

    Use it from the thread that made it.

    Raises:
        RenderingError: the back-end's library does not load or gives no context.
    """

    def __init__(self, model: mujoco.MjModel):
        height, width = int(model.vis.global_.offheight), int(model.vis.global_.offwidth)
        backend = choose_backend()
        try:
            self._gl = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except Exception as error:
            raise RenderingError(
                f"MUJOCO_GL={backend} gives no OpenGL context ({error}): try the other of {GL_BACKENDS}"
            ) from error
        self._free = weakref.finalize(self, _free, self._gl, self._context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._model = model
        self._scene = mujoco.MjvScene(model, maxgeom=400)
        for flag in _PLAIN:
            self._scene.flags[flag] = False
        self._option = mujoco.MjvOption()
        self._option.geomgroup[HIDDEN_GROUP] = 0

    def render(self, data: mujoco.MjData, camera: str, height: int, width: int) -> NDArray[np.uint8]:
        """Image (height, width, 3) uint8 RGB of a named camera."""
        self._gl.make_current()
        view = mujoco.MjvCamera()
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        view.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(self._model, data, self._option, None, view, mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        viewport = mujoco.MjrRect(0, 0, width, height)
        image = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_render(viewport, self._scene, self._context)
        mujoco.mjr_readPixels(image, None, viewport, self._context)
        return np.ascontiguousarray(image[::-1])

    def segment(self, data: mujoco.MjData, camera: str, height: int, width: int) -> NDArray[np.int32]:
        """Body ids (height, width) int32 of what each pixel shows, -1 for nothing."""
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = True
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            colours = self.render(data, camera, height, width).astype(np.int32)
        finally:
            self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = False
            self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        code = colours[..., 0] + colours[..., 1] * 256 + colours[..., 2] * 65536
        bodies = np.full(self._scene.ngeom + 1, -1, np.int32)
        for k in range(self._scene.ngeom):
            geom = self._scene.geoms[k]
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                bodies[geom.segid + 1] = self._model.geom_bodyid[geom.objid]
        return bodies[np.clip(code, 0, self._scene.ngeom)]

    def close(self) -> None:
        """Frees the OpenGL context; a renderer that is not closed is freed with it or when Python ends."""
        self._free()


def _free(gl: Any, context: mujoco.MjrContext) -> None:
    gl.make_current()
    context.free()
    gl.free()
