"""Frames of the film strips: small JPEGs as data URIs, within a budget for the whole page."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

JPEG_QUALITY = 70
REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
FRAME_HEADERS = {0xC0, 0xC1, 0xC2, 0xC3}
BASE64 = 4 / 3
SAMPLES = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """What a page has room for.

    Attributes:
        width: of the large frames, pixels; the small ones have `small`.
        middle, wrist: whether frames from the middle of steps, and wrist frames, are shown.
        note: what was left out, in words; empty if nothing was.
        limit: frames that there is room for, the newest first; None for all.
    """

    width: int
    small: int
    middle: bool
    wrist: bool
    note: str = ""
    limit: int | None = None


PLANS = (
    Plan(160, 96, True, True),
    Plan(160, 96, False, True, "frames from the middle of steps are left out to keep the page small"),
    Plan(160, 96, False, False, "only front frames at the ends of steps are shown, to keep the page small"),
    Plan(112, 96, False, False, "only front frames, smaller than usual, are shown, to keep the page small"),
)


def jpeg_width(jpeg: bytes) -> int:
    """Width by the JPEG's frame header, without decoding; 0 if there is none."""
    position = 2
    while position + 9 < len(jpeg) and jpeg[position] == 0xFF:
        marker, length = jpeg[position + 1], int.from_bytes(jpeg[position + 2 : position + 4], "big")
        if marker in FRAME_HEADERS:
            return int.from_bytes(jpeg[position + 7 : position + 9], "big")
        position += 2 + length
    return 0


def thumbnail(jpeg: bytes, width: int) -> bytes | None:
    """A JPEG at most `width` pixels wide; None if the bytes are no image.

    Large images are decoded at a half, a quarter or an eighth of their size, which saves most of the time.
    """
    if not jpeg:
        return None
    source = jpeg_width(jpeg)
    flag = next((flag for factor, flag in REDUCED if source // factor >= width), cv2.IMREAD_COLOR)
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flag)
    if image is None:
        return None
    if image.shape[1] > width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes() if ok else None


def data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def choose_plan(samples: Sequence[bytes], ends: int, middles: int, budget_bytes: int) -> Plan:
    """The richest plan whose frames fit, judged by a few of them.

    Args:
        samples: JPEGs from all over the run.
        ends, middles: frames that there are at the ends and in the middle of steps; each end has a wrist frame.
    """
    spread = samples[:: max(1, len(samples) // SAMPLES)][:SAMPLES]
    costs: dict[int, float] = {}
    for plan in PLANS:
        for width in (plan.width, plan.small):
            if width not in costs:
                costs[width] = _mean(len(small) for jpeg in spread if (small := thumbnail(jpeg, width))) * BASE64
        size = ends * (costs[plan.width] + plan.wrist * costs[plan.small]) + plan.middle * middles * costs[plan.small]
        if size <= budget_bytes:
            return plan
    last = PLANS[-1]
    fitting = int(budget_bytes / max(1.0, costs[last.width]))
    return Plan(last.width, last.small, False, False, f"{last.note}; older episodes have none", fitting)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0
