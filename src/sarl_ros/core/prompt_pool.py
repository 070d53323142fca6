"""The instruction pool: the prompts a run knows, in the order they came; its rows are the critics' one-hots.

It fills first-come up to its capacity and is then frozen for good, so a prompt's row never changes meaning
(arXiv 2606.31958, section on the semantic MDP; research facts: one-hot of length K, no eviction).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

MAX_PROMPT_CHARACTERS = 200
_ENDINGS = " .!?;:,"


def normalise(prompt: str) -> str:
    """Lowercase, composed (NFC), single spaces, one final full stop: the form a prompt has everywhere. Idempotent.

    Raises ValueError with one line when the prompt is empty, longer than 200 characters (as normalised), or holds
    control characters other than white space at its ends.
    """
    text = prompt.strip()
    for character in text:
        if unicodedata.category(character).startswith("C"):
            raise ValueError(f"a prompt with the control character U+{ord(character):04X}: send one line of plain text")
    text = " ".join(unicodedata.normalize("NFC", text.lower()).split()).rstrip(_ENDINGS)
    if not text:
        raise ValueError("an empty prompt: say in words what the arm should do, for example 'open the gripper.'")
    text += "."
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise ValueError(
            f"a prompt of {len(text)} characters, '{text[:40]}...': shorten it to {MAX_PROMPT_CHARACTERS} or fewer"
        )
    return text


class PromptPool:
    """At most `capacity` different prompts in order of arrival; frozen once full."""

    def __init__(self, capacity: int, prompts: Iterable[str] = ()) -> None:
        if capacity < 1:
            raise ValueError(f"a prompt pool of capacity {capacity}: give it room for at least 1 prompt")
        self._capacity = capacity
        self._rows: dict[str, int] = {}
        for prompt in prompts:
            self.add(prompt)

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def prompts(self) -> tuple[str, ...]:
        """Normalised prompts; position in the tuple is the row."""
        return tuple(self._rows)

    @property
    def frozen(self) -> bool:
        return len(self._rows) >= self._capacity

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, prompt: str) -> bool:
        return normalise(prompt) in self._rows

    def add(self, prompt: str) -> int | None:
        """Row of `prompt`, taking a new one if there is room; None if it is unknown and the pool is frozen.

        Raises ValueError as `normalise` does.
        """
        text = normalise(prompt)
        row = self._rows.get(text)
        if row is None and not self.frozen:
            row = self._rows[text] = len(self._rows)
        return row

    def index(self, prompt: str) -> int:
        """Row of `prompt`. Raises KeyError when it is not in the pool."""
        text = normalise(prompt)
        try:
            return self._rows[text]
        except KeyError:
            raise KeyError(f"'{text}' is not in the pool of {len(self._rows)} prompts: add it first") from None
