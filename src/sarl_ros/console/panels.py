"""The panels of the page: each is built once for a browser, then shows the parts of a view that it is about."""

from __future__ import annotations

from collections.abc import Callable

from nicegui.element import Element

from sarl_ros.console import drawing, words
from sarl_ros.console.view import CandidateView, EpisodeView, View
from sarl_ros.console.widgets import attribute, box, mark, number, panel, share, text, variable


class Top:
    """State, timer, where in the run, and what to do now."""

    def __init__(self) -> None:
        self._bar = box("top", "header")
        with self._bar:
            with box("state", role="status"):
                self._title, self._clock = text("title"), text("clock")
            with box("where"):
                self._episode, self._step = text("episode"), text("step")
            self._hint = text("hint")
            with box("tools"):
                self._run = text("run")
                box("theme", "button", type="button", data_theme_toggle="", aria_label="Light or dark")
                self._beat = box("beat", "span", data_beat="0", aria_hidden="true")
        self._count = 0
        self._silent = text("banner silent")
        self._replay = text("banner replay", "This is a replay. What you see is past, and no button does anything.")

    def show(self, view: View) -> None:
        self._count += 1
        attribute(self._beat, "data-beat", str(self._count))
        episode = view.episode
        attribute(self._bar, "data-state", episode.state)
        self._title.set_text(episode.title)
        elapsed = episode.elapsed_s
        at_least = "≥ " if episode.elapsed_is_least else ""
        self._clock.set_text("" if elapsed is None else at_least + words.clock(elapsed))
        total = f" of {episode.episodes}" if episode.episodes else ""
        self._episode.set_text(f"Episode {episode.number}{total}" if episode.number else "No episode yet")
        running = episode.state == "RUNNING" and view.prompt.episode == episode.number
        step = max(episode.step, view.prompt.step) if running else episode.step
        if view.steering.awaits:
            step = view.steering.step
        if episode.state in ("RESETTING", "READY") and episode.outcomes:
            self._step.set_text(f"last completed: {words.OUTCOMES[episode.outcomes[-1]]}")
        else:
            self._step.set_text(f"step {step} of {episode.max_steps}" if step and episode.max_steps else "")
        self._hint.set_text(episode.hint)
        self._run.set_text(episode.run)
        self._silent.set_text(view.silent)
        mark(self._silent, "shown", bool(view.silent))
        mark(self._replay, "shown", view.replay)


class Cameras:
    """Pictures, filled in by page.js."""

    def __init__(self, names: tuple[str, ...]) -> None:
        with box("cameras", "section", aria_label="Cameras"):
            for index, name in enumerate(names):
                with box(f"camera camera-{index}", "figure", data_figure=str(index)):
                    box("", "img", data_camera=str(index), alt=f"{name} camera")
                    text("name", name)
                    text("age")
            with panel("Task", "task beside"):
                self._task = text("instruction")

    def show(self, view: View) -> None:
        self._task.set_text(view.episode.instruction or "–")


class Prompt:
    """The task and the prompt that runs."""

    def __init__(self) -> None:
        with panel("Task", "task"):
            self._task = text("instruction")
        with panel("Prompt", "prompt"):
            self._text = text("now")
            self._bar = box("progress")
            with self._bar:
                box("fill")
            self._by = text("by")

    def show(self, view: View) -> None:
        episode, prompt = view.episode, view.prompt
        self._task.set_text(episode.instruction or "–")
        waits = "Waiting for your prompt" if view.steering.awaits else "–"
        self._text.set_text(prompt.text if prompt.text and not view.steering.awaits else waits)
        mark(self._text, "idle", not prompt.running)
        variable(self._bar, "--done", 100 * prompt.progress if prompt.text else 0.0)
        mark(self._bar, "running", prompt.running)
        chooser = "you" if prompt.by_person else prompt.agent.replace("_", " ")
        self._by.set_text(f"Step {prompt.step}, chosen by {chooser}" if prompt.text else "")


class Candidates:
    """What the prompt was chosen from, or what a person is to choose from."""

    def __init__(self) -> None:
        with panel("Candidates", "candidates") as self._panel:
            self._head = box("row head")
            with self._head:
                text("what", "")
                text("q", "Q value")
                text("p", "probability")
            self._rows: list[_Candidate] = []
            self._none = text("none", "No candidates yet.")

    def show(self, view: View) -> None:
        candidates, pickable = view.candidates, view.steering.awaits
        with self._panel:
            while len(self._rows) < len(candidates):
                self._rows.append(_Candidate())
        bars = drawing.q_bars(candidates)
        for row, candidate, bar in zip(self._rows, candidates, bars, strict=False):
            row.show(candidate, bar, pickable)
        for row in self._rows[len(candidates) :]:
            row.hide()
        mark(self._panel, "pickable", pickable)
        mark(self._panel, "no-values", not any(bars))
        mark(self._head, "hidden", not candidates)
        mark(self._none, "hidden", bool(candidates))


class _Candidate:
    def __init__(self) -> None:
        self._row = box("row candidate")
        with self._row:
            self._prompt = text("what")
            with box("q"):
                self._scale = box("scale")
                with self._scale:
                    box("spread")
                    box("mean")
                self._value = text("value")
            with box("p"):
                self._bar = box("bar")
                with self._bar:
                    box("fill")
                self._share = text("value")

    def show(self, candidate: CandidateView, bar: drawing.QBar | None, pickable: bool) -> None:
        mark(self._row, "hidden", False)
        mark(self._row, "chosen", candidate.chosen)
        self._prompt.set_text(candidate.prompt)
        attribute(self._row, "data-pick", candidate.prompt if pickable else "")
        attribute(self._row, "role", "button" if pickable else "listitem")
        attribute(self._row, "tabindex", "0" if pickable else "-1")
        mark(self._scale, "unknown", bar is None)
        if bar is not None:
            variable(self._scale, "--mean", bar.mean)
            variable(self._scale, "--low", bar.low)
            variable(self._scale, "--wide", bar.high - bar.low)
        spread = "" if candidate.q_std is None else f" ± {number(candidate.q_std)}"
        self._value.set_text(number(candidate.q_mean) + spread)
        variable(self._bar, "--share", 100 * (candidate.probability or 0.0))
        self._share.set_text(share(candidate.probability))

    def hide(self) -> None:
        mark(self._row, "hidden", True)


class Steering:
    """Take over, hand back, type or pick a prompt. page.js sends it."""

    def __init__(self) -> None:
        with panel("Who chooses", "steering") as self._panel:
            with box("line"):
                self._words = text("words")
                self._toggle = box("toggle", "button", type="button", data_steer="toggle")
                with self._toggle:
                    self._label = text("label")
            self._form = box("form", "form", data_steer_form="", autocomplete="off")
            with self._form:
                box(
                    "",
                    "input",
                    type="text",
                    name="prompt",
                    maxlength="200",
                    aria_label="Prompt",
                    placeholder="Type, or tap a candidate",
                )
                box("send", "button", type="submit")

    def show(self, view: View) -> None:
        steering = view.steering
        self._words.set_text(steering.words)
        self._label.set_text("Hand back" if steering.on else "Take over")
        attribute(self._toggle, "data-on", "1" if steering.on else "")
        attribute(self._form, "data-awaits", "1" if steering.awaits else "")
        attribute(self._form, "data-episode", str(steering.episode))
        attribute(self._form, "data-step", str(steering.step))
        mark(self._panel, "on", steering.on)
        mark(self._panel, "awaits", steering.awaits)


class Curve:
    """Success over the run's episodes."""

    def __init__(self) -> None:
        with panel("Learning curve", "curve"):
            with box("figures"):
                self._recent, self._count = text("big"), text("of")
            with box("", "svg", viewBox=f"0 0 {drawing.WIDTH:g} {drawing.HEIGHT:g}", role="img"):
                for level, name in ((0.0, "grid"), (0.5, "grid half"), (1.0, "grid")):
                    y = f"{drawing.BOTTOM - level * (drawing.BOTTOM - drawing.TOP):g}"
                    box(name, "line", x1=f"{drawing.LEFT:g}", x2=f"{drawing.RIGHT:g}", y1=y, y2=y)
                self._paths = {name: box(name, "path") for name in ("area", "line", "success", "failure", "timeout")}
            with box("legend"):
                for name, label in (("success", "success"), ("failure", "failure"), ("timeout", "out of steps")):
                    text(name, label)
        self._shown: EpisodeView | None = None

    def show(self, view: View) -> None:
        episode = view.episode
        if self._shown is not None and self._shown.outcomes == episode.outcomes:
            return
        self._shown = episode
        curve = drawing.curve(episode.outcomes, episode.rolling)
        for name, path in self._paths.items():
            attribute(path, "d", getattr(curve, name))
            variable(path, "--dot", f"{2 * curve.dot:g}")
        self._recent.set_text(share(episode.rolling[-1]) if episode.rolling else "–")
        recent = min(20, len(episode.outcomes))
        words_for = {0: "no episode has ended yet", 1: "of one episode succeeded"}
        self._count.set_text(words_for.get(recent, f"of the last {recent} succeeded"))
        mark(self._recent, "hidden", not recent)


class Learner:
    def __init__(self) -> None:
        with panel("Learner", "learner"):
            self._words = text("words")
            with box("facts"):
                self._owed = _fact("updates owed")
                self._temperature = _fact("temperature")
                self._recall = _fact("recall")
                self._pool = _fact("prompt pool")

    def show(self, view: View) -> None:
        learner = view.learner
        self._words.set_text(learner.words[:1].upper() + learner.words[1:])
        self._owed.set_text(str(learner.updates_owed) if learner.known else "–")
        self._temperature.set_text(number(learner.temperature, 3))
        self._recall.set_text(share(learner.recall))
        full = f"{learner.pool} / {learner.pool_capacity}" if learner.pool_capacity else str(learner.pool)
        self._pool.set_text(full if learner.known else "–")


def _fact(name: str):
    with box("fact"):
        value = text("value", "–")
        text("name", name)
    return value


class Health:
    """The arm, and every program of the graph with what is wrong with it."""

    def __init__(self) -> None:
        with panel("Robot", "health") as self._panel:
            with box("line arm") as self._arm:
                box("lamp", "span")
                text("who", "arm is")
                self._words = text("what")
            self._list = box("list")
        self._rows: list[_Health] = []

    def show(self, view: View) -> None:
        self._words.set_text(view.arm_words)
        attribute(self._arm, "data-mode", view.arm_mode)
        trouble = view.arm_mode == "fault" or any(node.level == "bad" for node in view.nodes)
        mark(self._panel, "trouble", trouble)
        with self._list:
            while len(self._rows) < len(view.nodes):
                self._rows.append(_Health())
        for row, node in zip(self._rows, view.nodes, strict=False):
            row.show(node.title, node.level, ". ".join(node.words))
        for row in self._rows[len(view.nodes) :]:
            row.hide()


class _Health:
    def __init__(self) -> None:
        self._line = box("line")
        with self._line:
            box("lamp", "span")
            self._who, self._what = text("who"), text("what")

    def show(self, who: str, level: str, what: str) -> None:
        mark(self._line, "hidden", False)
        attribute(self._line, "data-level", level)
        self._who.set_text(who)
        self._what.set_text(what or "works")

    def hide(self) -> None:
        mark(self._line, "hidden", True)


class Log:
    """What happened, newest first."""

    ROWS = 40

    def __init__(self) -> None:
        with panel("Events", "log"):
            self._list = box("list")
        self._rows: list[tuple[Element, Callable[[str], object], Callable[[str], object]]] = []
        self._newest = -1

    def show(self, view: View) -> None:
        newest = view.events[0].number if view.events else 0
        if newest == self._newest:
            return
        self._newest = newest
        with self._list:
            while len(self._rows) < min(self.ROWS, len(view.events)):
                line = box("line")
                with line:
                    when, what = text("when"), text("what")
                self._rows.append((line, when.set_text, what.set_text))
        for (line, when_set, what_set), event in zip(self._rows, view.events, strict=False):
            attribute(line, "data-level", event.level)
            when_set(event.clock + (f"  {event.where}" if event.where else ""))
            what_set(event.words)


class Dock:
    """The buttons. HOLD is not here: it is plain HTML, so that it works before and without all of this."""

    ORDER = ("start", "success", "failure", "reset_done", "subgoal", "abort", "clear")

    def __init__(self) -> None:
        self._buttons: dict[str, tuple[Element, Callable[[str], object]]] = {}
        with box("dock", "nav", aria_label="Buttons"):
            for name in self.ORDER:
                button = box(f"press press-{name}", "button", type="button", data_press=name)
                with button:
                    with box("face", "span"):
                        text("label", words.LABELS[name])
                        text("key", words.KEYS[name])
                    why = text("why")
                self._buttons[name] = (button, why.set_text)

    def show(self, view: View) -> None:
        for state in view.buttons:
            if state.name not in self._buttons:
                continue
            button, why_set = self._buttons[state.name]
            attribute(button, "aria-disabled", "false" if state.armed else "true")
            mark(button, "armed", state.armed)
            mark(button, "wanted", state.wanted)
            why_set(state.why)
