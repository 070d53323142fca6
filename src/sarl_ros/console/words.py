"""Plain words for what the graph says in names and numbers."""

from __future__ import annotations

from sarl_ros.core.types import EpisodeState

TITLES = {
    EpisodeState.IDLE: "Idle",
    EpisodeState.RESETTING: "Resetting",
    EpisodeState.READY: "Ready",
    EpisodeState.RUNNING: "Running",
    EpisodeState.SUCCESS: "Success",
    EpisodeState.FAILURE: "Failure",
    EpisodeState.TIMEOUT: "Out of steps",
    EpisodeState.ABORTED: "Aborted",
    EpisodeState.HELD: "Held",
    EpisodeState.FINISHED: "Finished",
}
OUTCOMES = {"SUCCESS": "success", "FAILURE": "failure", "TIMEOUT": "out of steps"}
LABELS = {
    "start": "Start",
    "success": "Success",
    "failure": "Failure",
    "subgoal": "Subgoal",
    "reset_done": "Reset done",
    "abort": "Abort",
    "clear": "Clear",
    "hold": "Hold",
}
KEYS = {
    "start": "S",
    "success": "Y",
    "failure": "N",
    "subgoal": "G",
    "reset_done": "R",
    "abort": "A",
    "clear": "C",
    "hold": "space",
}
NODES = {
    "sim_world": "simulated world",
    "arm_bridge": "arm driver",
    "vla_executor": "policy",
    "prompt_proposer": "proposer",
    "operator": "operator",
    "sarl_learner": "learner",
    "recorder": "recorder",
    "pedals": "pedals",
    "bag_player": "player",
    "camera_front": "front camera",
    "camera_wrist": "wrist camera",
}
ARM_MODES = {0: ("idle", "idle"), 1: ("moving", "moving"), 2: ("hold", "on hold"), 3: ("fault", "fault")}
# The machine's own steps between a prompt and its verdict: nobody reads them, and the prompts tell the story.
ROUTINE = frozenset({"prompt", "result", "judgement", "window_closed", "proceed", "opened"})
VERDICTS = {
    "success": "Judged a success",
    "failure": "Judged a failure",
    "timeout": "The episode is out of steps",
    "aborted": "The step is dropped",
}
SOURCES = {"joy": "pedal", "service": "program", "auto": ""}


def node_title(name: str) -> str:
    return NODES.get(name, name.replace("_", " "))


def hint(state: EpisodeState, armed: frozenset[str], reason: str, steering_awaits: bool, why_no_start: str) -> str:
    """What the person has to do, or wait for, now, in one line."""
    match state:
        case EpisodeState.HELD:
            why, _, _ = reason.partition(": clear")
            return f"The arm holds: {why}. Make it safe, then press Clear." if why else "The arm holds."
        case EpisodeState.IDLE:
            return "Press Start to reset the scene." if "start" in armed else reason or "Nothing runs."
        case EpisodeState.RESETTING:
            if "reset_done" in armed:
                return "Put the objects back, then press Reset done."
            return _sentence(reason) or "The arm moves back."
        case EpisodeState.READY:
            return "Press Start." if "start" in armed else _sentence(why_no_start or reason)
        case EpisodeState.RUNNING:
            if steering_awaits:
                return "Choose the next prompt."
            return "Judge it: Success or Failure." if "success" in armed else "The arm works."
        case EpisodeState.FINISHED:
            return "The run has all its episodes."
        case _:
            return _sentence(reason)


def event_words(event: str, source: str, accepted: bool, detail: str) -> str:
    """A line of the operator's journal for a person; empty for one that is not worth it."""
    if event in ROUTINE or (event == "verdict" and detail.startswith("continue")):
        return ""
    if event == "verdict":
        verdict, _, why = detail.partition(" ")
        said = VERDICTS.get(verdict, f"Judged {verdict}")
        return _sentence(f"{said}: {why}" if why else said)
    if event == "reset_finished":
        return _sentence(f"The arm is back: {detail}")
    what = LABELS.get(event)
    by = SOURCES.get(source, source)
    if what is None:
        return _sentence(f"{event.replace('_', ' ')}: {detail}" if detail else event.replace("_", " "))
    pressed = f"{what} ({by})" if by else what
    outcome = detail if accepted else f"refused, {detail}"
    return f"{pressed}: {outcome}" if detail else pressed


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:34 or 1:02:03."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def short_why(why: str) -> str:
    """Why a button is not armed, without the button's name and the state, which the page shows anyway."""
    for mark in (" is not possible in ", " is not possible: "):
        _, found, rest = why.partition(mark)
        if found:
            return rest.partition(": ")[2] or rest if mark.endswith("in ") else rest
    return why


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".") if text else ""
