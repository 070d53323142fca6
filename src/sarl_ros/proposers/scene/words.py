"""What things are called and what they are for: the little common sense that the grammar needs."""

from __future__ import annotations

from sarl_ros.sim.objects import CATALOGUE


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTAINERS = word_set(
    "basin basket bin bowl box bucket can caddy compartment container crate cup drawer jar mug pan pot sink"
)
SURFACES = word_set("board burner cloth coaster mat napkin pad plate platter saucer shelf table towel tray")

LEFT, RIGHT, FRONT, BACK, MIDDLE = "left", "right", "front", "back", "middle"
SIDES = {
    "left": LEFT, "leftmost": LEFT,
    "right": RIGHT, "rightmost": RIGHT,
    "front": FRONT, "closest": FRONT, "nearest": FRONT,
    "back": BACK, "rear": BACK, "farthest": BACK, "furthest": BACK,
    "middle": MIDDLE, "center": MIDDLE, "centre": MIDDLE, "central": MIDDLE,
}  # fmt: skip

LARGE, SMALL = "large", "small"
SIZES = {
    "large": LARGE, "larger": LARGE, "largest": LARGE, "big": LARGE, "bigger": LARGE, "biggest": LARGE,
    "small": SMALL, "smaller": SMALL, "smallest": SMALL, "little": SMALL, "tiny": SMALL,
}  # fmt: skip


def phrase(name: str) -> str:
    """An object's name in words, without article: `toy_pink` -> "pink toy", `lid` -> "pot lid".

    Names outside the catalogue read as noun_adjective.
    """
    if name in CATALOGUE:
        return CATALOGUE[name].phrase.removeprefix("the ")
    noun, *adjectives = name.lower().split("_")
    return " ".join([*adjectives, noun])


def singular(word: str) -> str:
    """A noun without its plural s: good enough to match "toys" with "toy"."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def is_place(noun: str) -> bool:
    """Whether things are put there rather than carried around."""
    return noun in CONTAINERS or noun in SURFACES
