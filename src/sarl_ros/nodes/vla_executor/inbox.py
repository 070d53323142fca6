"""What has arrived at the executor: the newest episode, arm state and images, and waiting for a condition on them.

Topics are unordered among each other, so every wait is for a condition on all that has arrived, never for a message.
Time-outs run on the steady clock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarl_interfaces.msg import ArmState, Episode, Prompt
from sarl_ros.core.types import Ended, EpisodeState, Observation
from sarl_ros.ros import cdr, convert
from sarl_ros.runtime.arm import StepEnded

EpisodeName = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RawImage:
    """An image message as it came over the wire; most are never looked at, so none is decoded before it is used."""

    stamp_ns: int
    serialized: bytes

    @classmethod
    def received(cls, serialized: bytes) -> RawImage:
        return cls(cdr.ImageHead.read(serialized).stamp_ns, serialized)

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) RGB."""
        return cdr.image_rgb(self.serialized)


def name_of(episode: Episode) -> EpisodeName:
    return episode.run, episode.episode


class Inbox:
    """Callbacks put messages in and wake the thread that waits.

    Args:
        cameras: names, in the order front, wrist.
        image_slack_s: images may be older than the arm state they are used with by this.
        timeout_s: after which a silent arm or camera is a fault.
    """

    def __init__(self, cameras: Sequence[str], image_slack_s: float, timeout_s: float) -> None:
        self._changed = threading.Condition()
        self._slack_ns = round(image_slack_s * 1e9)
        self._timeout_s = timeout_s
        self._images: dict[str, RawImage | None] = dict.fromkeys(cameras)
        self.closing = False
        self.episode: Episode | None = None
        self.began_running: EpisodeName | None = None
        self.arm: ArmState | None = None
        self.answer: ArmState | None = None
        self.prompts: deque[Prompt] = deque()

    def on_episode(self, message: Episode) -> None:
        with self._changed:
            if self.episode is None and message.state == Episode.RUNNING:
                self.began_running = name_of(message)
            self.episode = message
            self._changed.notify_all()

    def on_prompt(self, message: Prompt) -> None:
        with self._changed:
            self.prompts.append(message)
            self._changed.notify_all()

    def on_arm_state(self, message: ArmState) -> None:
        with self._changed:
            if np.isfinite(message.proprio).all():  # not in a refusal that came before any joint state
                self.arm = message
            if message.seq:
                self.answer = message  # an unasked state may follow before the waiting thread looks
            self._changed.notify_all()

    def on_image(self, camera: str, serialized: bytes) -> None:
        image = RawImage.received(serialized)
        with self._changed:
            self._images[camera] = image
            self._changed.notify_all()

    def notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End every wait, now and later."""
        self.closing = True
        self.notify()

    def wait(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait for a condition on what has arrived; False when it took longer, True also when closing."""
        with self._changed:
            return self._changed.wait_for(lambda: self.closing or condition(), timeout_s)

    def runs(self, name: EpisodeName) -> bool:
        episode = self.episode
        return episode is not None and episode.state == Episode.RUNNING and name_of(episode) == name

    def why_stopped(self, name: EpisodeName) -> str:
        """Why a step of this episode must stop; empty while the episode runs, and the node."""
        if self.closing:
            return "the executor is ending: start it again"
        if not self.runs(name):
            state = EpisodeState(self.episode.state).name if self.episode else "unknown"
            return f"episode {name[1]} left RUNNING (newest state {state})"
        return ""

    def require_running(self, name: EpisodeName) -> None:
        """Raises StepEnded (STOPPED) unless the episode runs and the node does."""
        if why := self.why_stopped(name):
            raise StepEnded(Ended.STOPPED, why)

    def answered(self, seq: int) -> bool:
        return self.answer is not None and self.answer.seq == seq

    def observe(self, name: EpisodeName, not_before_ns: int = 0) -> Observation:
        """The newest arm state, stamped at or after `not_before_ns`, with images no older than it.

        Raises:
            StepEnded: the episode left RUNNING, or the arm or a camera is silent.
        """
        found: list[tuple[ArmState, list[RawImage]]] = []

        def look() -> bool:
            arm = self.arm
            if arm is not None and convert.stamp_ns(arm.header.stamp) >= not_before_ns and not self._behind(arm):
                found.append((arm, self._newest_images()))
            return bool(found) or not self.runs(name)

        self.wait(look, self._timeout_s)
        self.require_running(name)
        if not found:
            raise StepEnded(Ended.FAULT, self._what_is_missing())
        return _observation(*found[0])

    def newest_observation(self) -> Observation | None:
        """What there is to see now, whatever its age; None before anything came."""
        with self._changed:
            arm, images = self.arm, self._newest_images()
        if arm is None or len(images) < len(self._images):
            return None
        return _observation(arm, images)

    def _newest_images(self) -> list[RawImage]:
        return [image for image in self._images.values() if image is not None]

    def _behind(self, arm: ArmState) -> list[str]:
        """What is wrong with each camera whose newest image is too old for this arm state."""
        arm_ns = convert.stamp_ns(arm.header.stamp)
        return [
            f"camera {camera} sent no image"
            if image is None
            else f"the image of camera {camera} is {(arm_ns - image.stamp_ns) / 1e9:.3f} s older than the arm's state"
            for camera, image in self._images.items()
            if image is None or image.stamp_ns < arm_ns - self._slack_ns
        ]

    def _what_is_missing(self) -> str:
        if self.arm is None:
            problem = "no state of the arm"
        else:
            problem = " and ".join(self._behind(self.arm)) or "no state of the arm since the reset"
        return f"{problem} within {self._timeout_s} s: are camera and bridge running?"


def _observation(arm: ArmState, images: Sequence[RawImage]) -> Observation:
    front, wrist = (image.pixels() for image in images)
    return Observation(front, wrist, np.asarray(arm.proprio, np.float32), convert.stamp_ns(arm.header.stamp))
