"""The operator's seat in a terminal: what is shown, and what a key means. It neither reads nor writes by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from sarl_ros.core.episode_events import Button
from sarl_ros.core.types import Candidate, EpisodeState, StepKey
from sarl_ros.operating.graph_view import Answer, GraphView

KEYS: Mapping[str, Button] = {
    "s": Button.START,
    "y": Button.SUCCESS,
    "n": Button.FAILURE,
    "g": Button.SUBGOAL,
    "r": Button.RESET_DONE,
    "a": Button.ABORT,
    " ": Button.HOLD,
    "c": Button.CLEAR,
}
SPACES = re.compile("[\x00\u00a0\u3000]")
"""What the space bar gives with Ctrl, with AltGr, and while Japanese is typed."""
STEER_KEY, TYPE_KEY, QUIT_KEYS = "t", ":", "q\x04"
ENTER, ESCAPE, ERASE = "\r\n", "\x1b", "\x7f\b"
ESCAPE_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[!-/]*[@-~]|O[!-~])")
"""What a terminal sends for arrows, function keys and the borders of a paste (ECMA-48); a space is never part of it."""
BEGUN_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[!-/]*|O)?$")
SILENT_S = 2.0
MAX_PICKS = 9
_BOLD, _DIM, _ALARM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[1;7m", "\x1b[0m"


class OperatorActions(Protocol):
    """Carries out what keys ask for. None of these waits; `tell` is called later with what came of it."""

    def press(self, button: Button, tell: Callable[[Answer], None]) -> None: ...

    def steer(self, take_over: bool, key: StepKey | None, prompt: str, tell: Callable[[Answer], None]) -> None: ...


class Terminal:
    """Keys in, lines out.

    Attributes:
        over: the person has asked to leave; the run goes on.
        message: what came of the last key.
    """

    def __init__(self, view: Callable[[], GraphView], actions: OperatorActions) -> None:
        self._view, self._actions = view, actions
        self._typed: str | None = None
        self._begun = ""
        self.over = False
        self.message = ""

    def keys(self, text: str) -> None:
        """What one read gave. Several keys at once may be a paste: only a space among them holds, and nothing else."""
        text = self._without_sequences(SPACES.sub(" ", text))
        if self._typed is not None:
            self._edit(text)
        elif " " in text:
            self._key(" ")
        elif len(set(text.lower())) == 1:
            self._key(text[0].lower())
        elif text:
            self._tell("several keys at once were left alone: press one after the other")

    def _without_sequences(self, text: str) -> str:
        """Escape sequences taken out, also those that a slow line cuts in two: the rest of an arrow is not CLEAR."""
        before = self._begun
        left = ESCAPE_SEQUENCE.sub("", before + text)
        match = BEGUN_SEQUENCE.search(left)
        self._begun = match.group() if match else ""
        if match and self._begun != ESCAPE:
            left = left[: match.start()]
        left = left.removeprefix(before)
        if not left:
            self._tell("that key does nothing here")
        return left

    def _key(self, key: str) -> None:
        if key in KEYS:
            button = KEYS[key]
            self.message = f"{button} ..."
            self._actions.press(button, lambda answer: self._tell(f"{button}: {answer}"))
        elif key in QUIT_KEYS:
            self.over = True
        elif key == STEER_KEY:
            self._actions.steer(not self._view().steering, None, "", self._answered)
        elif key == TYPE_KEY:
            if self._awaited():
                self._typed = ""
        elif key in "123456789":
            if self._awaited():
                self._pick(int(key))
        else:
            self._tell(f"{key if key.isprintable() else 'that key'} does nothing here")

    def _pick(self, number: int) -> None:
        candidates = self._view().candidates[:MAX_PICKS]
        if number <= len(candidates):
            self._choose(candidates[number - 1].prompt)
        else:
            self._tell(f"there is no prompt {number} to choose: there are {len(candidates)}")

    def _awaited(self) -> bool:
        if self._view().awaited is None:
            self._tell("no decision waits for a prompt: take over with t, and choose when the next decision asks")
        return self._view().awaited is not None

    def _edit(self, text: str) -> None:
        for position, character in enumerate(text, 1):
            if character == ESCAPE or character in ENTER:
                prompt, self._typed = self._typed or "", None
                if " " in text[position:]:
                    self._key(" ")
                elif character != ESCAPE and prompt.strip():
                    self._choose(prompt)
                else:
                    self._tell("no prompt was sent")
                return
            if character in ERASE:
                self._typed = (self._typed or "")[:-1]
            elif character.isprintable():
                self._typed = (self._typed or "") + character
            else:
                self._tell("that key does nothing in a prompt")

    def _choose(self, prompt: str) -> None:
        self._actions.steer(True, self._view().awaited, prompt, self._answered)

    def _answered(self, answer: Answer) -> None:
        self._tell(str(answer))

    def _tell(self, message: str) -> None:
        self.message = message

    def lines(self, now_s: float) -> list[str]:
        """What to show, with ANSI attributes; `now_s` is of the steady clock."""
        seen = self._view()
        successes = sum(outcome == EpisodeState.SUCCESS for outcome in seen.outcomes)
        of = f" of {seen.episodes}" if seen.episodes else ""
        step = f", step {seen.step} of {seen.max_steps} done" if seen.state == EpisodeState.RUNNING else ""
        lines = [
            f"{seen.run}  episode {seen.episode}: {_BOLD}{seen.state.name}{_PLAIN}{step}"
            f"  ({len(seen.outcomes)}{of} completed, {successes} succeeded)",
            f"task: {seen.instruction}",
            f"prompt: {seen.prompt}" if seen.state == EpisodeState.RUNNING else seen.reason,
            "  ".join(self._button(key, button) for key, button in KEYS.items()),
            f"t {'hand back' if seen.steering else 'steer'}  q leave (the run goes on)",
        ]
        if seen.awaited is not None:
            lines.append(f"{_BOLD}choose the prompt of step {seen.awaited.step}{_PLAIN}: a number, or : to type one")
            lines += [self._candidate(number, each) for number, each in enumerate(seen.candidates[:MAX_PICKS], 1)]
        if self._typed is not None:
            lines.append(f"prompt> {self._typed}_   (Enter sends, Escape leaves; then a space holds again)")
        if seen.operator_s is None or now_s - seen.operator_s > SILENT_S:
            lines.append(
                f"{_ALARM} the operator is silent: keys have no effect, except that space stops the arm {_PLAIN}"
            )
        return [*lines, f"> {self.message}"]

    def _button(self, key: str, button: Button) -> str:
        armed = self._view().armed(button)
        return f"{_BOLD if armed else _DIM}{'space' if key == ' ' else key} {button}{_PLAIN}"

    @staticmethod
    def _candidate(number: int, candidate: Candidate) -> str:
        value = "" if candidate.q_mean != candidate.q_mean else f"  Q {candidate.q_mean:.2f} +- {candidate.q_std:.2f}"
        return f"  {number} {candidate.prompt}{value}  p {candidate.probability:.2f}"
