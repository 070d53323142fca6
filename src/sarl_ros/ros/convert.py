"""Messages to values of the core and back."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from sarl_interfaces import msg
from sarl_ros.core.learner_events import CandidateSet
from sarl_ros.core.types import Candidate, Decision, Observation, StepKey
from sarl_ros.store.images import decode_jpeg, encode_jpeg


def stamp_ns(time: Time) -> int:
    return time.sec * 1_000_000_000 + time.nanosec


def to_time(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def key_from(message: msg.StepKey) -> StepKey:
    return StepKey(message.run, message.episode, message.step)


def key_to(key: StepKey) -> msg.StepKey:
    return msg.StepKey(run=key.run, episode=key.episode, step=key.step)


def image_to(pixels: NDArray[np.uint8], nanoseconds: int, frame_id: str) -> Image:
    """uint8 (H, W, 3) RGB to an rgb8 message. The data is an array('B'): bytes would be checked one by one."""
    height, width, _ = pixels.shape
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width, is_bigendian=0)
    message.header.stamp = to_time(nanoseconds)
    message.header.frame_id = frame_id
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).tobytes())
    message.data = data
    return message


def jpeg_to(pixels: NDArray[np.uint8], nanoseconds: int, frame_id: str) -> CompressedImage:
    message = CompressedImage(format="jpeg")
    message.header.stamp = to_time(nanoseconds)
    message.header.frame_id = frame_id
    data = array.array("B")
    data.frombytes(encode_jpeg(pixels))
    message.data = data
    return message


def jpeg_from(message: CompressedImage) -> NDArray[np.uint8]:
    """JPEG message to uint8 (H, W, 3) RGB. Raises ValueError where it is none."""
    try:
        return decode_jpeg(np.frombuffer(message.data, np.uint8))
    except ValueError as error:
        raise ValueError(f"a compressed image cannot be decoded: {error}, is it {message.format[:40]!r}?") from None


def observation_from(message: msg.Observation) -> Observation:
    return Observation(
        front=jpeg_from(message.front),
        wrist=jpeg_from(message.wrist),
        proprio=np.asarray(message.proprio, np.float32),
        stamp_ns=stamp_ns(message.header.stamp),
    )


def observation_to(observation: Observation) -> msg.Observation:
    message = msg.Observation(
        front=jpeg_to(observation.front, observation.stamp_ns, "camera_front_color_optical_frame"),
        wrist=jpeg_to(observation.wrist, observation.stamp_ns, "camera_wrist_color_optical_frame"),
        proprio=observation.proprio.astype(np.float32),
    )
    message.header.stamp = to_time(observation.stamp_ns)
    message.header.frame_id = "wx250s/base_link"
    return message


def candidate_to(candidate: Candidate) -> msg.Candidate:
    return msg.Candidate(
        prompt=candidate.prompt,
        pool_index=candidate.pool_index,
        q_mean=candidate.q_mean,
        q_std=candidate.q_std,
        probability=candidate.probability,
        prior=candidate.prior,
    )


def candidate_from(message: msg.Candidate) -> Candidate:
    return Candidate(
        prompt=message.prompt,
        pool_index=message.pool_index,
        q_mean=message.q_mean,
        q_std=message.q_std,
        probability=message.probability,
        prior=message.prior,
    )


def decision_to(
    decision: Decision, control_steps: int, nanoseconds: int, suitable_offered: bool | None = None
) -> msg.Prompt:
    message = msg.Prompt(
        key=key_to(decision.key),
        prompt=decision.prompt,
        control_steps=control_steps,
        candidates=[candidate_to(candidate) for candidate in decision.candidates],
        chosen=decision.chosen,
        agent=decision.agent,
        demonstration=decision.demonstration,
        suitable_offered=-1 if suitable_offered is None else int(suitable_offered),
        chunk_actor=decision.chunk_actor,
        chunk_actor_state=decision.chunk_actor_state,
    )
    message.header.stamp = to_time(nanoseconds)
    return message


def candidate_set_to(known: CandidateSet, nanoseconds: int) -> msg.Proposal:
    message = msg.Proposal(
        key=key_to(known.key),
        candidates=[candidate_to(candidate) for candidate in known.candidates],
        awaits_person=known.awaits_person,
        model=known.model,
        rationale=known.rationale,
        seconds=known.seconds,
    )
    message.header.stamp = to_time(nanoseconds)
    return message
