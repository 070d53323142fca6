"""A task text as goals: which thing should go where, by simple parsing of imperative English.

"move the banana to the pot on the right and sushi to the bowl" are two goals: the banana to (the pot, on the right),
and sushi to the bowl, whose verb is understood. No task is known by name here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sarl_ros.proposers.scene.words import SIDES, SIZES, singular, word_set

_CARRY = word_set("move put place bring take carry transfer set drop push slide deliver transport stack insert")
_GRASP = word_set("grasp grab pick lift hold seize catch clutch get")
_OTHER = word_set("open close turn press pull touch reach push wipe fold flip rotate pour")
_VERBS = _CARRY | _GRASP | _OTHER
_ARTICLES = word_set("the a an this that these those some both all its your my of")
_PARTICLES = word_set("up down over")
_INTO = word_set("in into inside within")
_ONTO = word_set("on onto upon atop")
_TOWARDS = word_set("to toward towards at near beside by")
_PREPOSITIONS = _INTO | _ONTO | _TOWARDS

_MARK = "@"
_SIDE_PHRASE = re.compile(
    r"\b(on|at|in|from) the (?:far )?(" + "|".join(SIDES) + r")(?: hand)?(?: side)?(?: of the (?:table|scene))?\b"
)
_NEXT_CLAUSE = re.compile(r"\s*(?:[,;.]|\band then\b|\bthen\b|\bafter that\b|\bafterwards\b|\bfinally\b|\band\b)\s*")


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A thing as the task names it.

    Attributes:
        text: as written, without article.
        noun: its head, singular.
        adjectives: words before the head that are neither side nor size.
        side: left, right, front, back, middle, or empty.
        size: large, small, or empty.
    """

    text: str
    noun: str
    adjectives: tuple[str, ...] = ()
    side: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing to be done.

    Attributes:
        text: the clause in full, its verb filled in.
        thing: what to act on.
        place: where it should go, None for grasping and the like.
        preposition: "in" or "on" where the text says so, else empty.
    """

    text: str
    thing: NounPhrase
    place: NounPhrase | None = None
    preposition: str = ""


def parse_task(task: str) -> tuple[Goal, ...]:
    """Goals of a task text in their order; empty when no noun is found in it."""
    goals: list[Goal] = []
    verb = ""
    for clause in _NEXT_CLAUSE.split(" ".join(task.lower().split())):
        words = clause.split()
        if words and words[0] in _VERBS:
            verb = words[0]
        elif verb and words:
            clause = f"{verb} {clause}"
        goal = _parse_clause(clause)
        if goal is None:
            continue
        if goal.thing.noun == "it" and goals:
            text = f"{goals[-1].text} and {goal.text}"
            goals[-1] = replace(goals[-1], text=text, place=goal.place, preposition=goal.preposition)
        else:
            goals.append(goal)
    return _share_places(goals)


def _parse_clause(clause: str) -> Goal | None:
    marked = _SIDE_PHRASE.sub(lambda match: f"{_MARK}{SIDES[match[2]]}", clause)
    words = [word for word in re.findall(rf"[\w{_MARK}'-]+", marked)]
    if words and words[0] in _VERBS:
        del words[0]
    if words and words[0] in _PARTICLES:
        del words[0]
    at = next((index for index, word in enumerate(words) if word in _PREPOSITIONS), len(words))
    preposition = words[at] if at < len(words) else ""
    # "on top of", "next to": words between the preposition and its noun phrase
    rest = [word for word in words[at + 1 :] if word not in _PREPOSITIONS and word != "top"]
    thing = _noun_phrase([word for word in words[:at] if word not in _PARTICLES and word != "next"])
    if thing is None:
        return None
    relation = "in" if preposition in _INTO else "on" if preposition in _ONTO else ""
    return Goal(text=clause, thing=thing, place=_noun_phrase(rest), preposition=relation)


def _noun_phrase(words: list[str]) -> NounPhrase | None:
    side = size = ""
    plain: list[str] = []
    kept: list[str] = []
    for word in words:
        if word in _ARTICLES:
            continue
        if word.startswith(_MARK):
            side = word[len(_MARK) :]
            continue
        kept.append(word)
        if word in SIDES:
            side = SIDES[word]
        elif word in SIZES:
            size = SIZES[word]
        else:
            plain.append(word)
    if not plain:
        return None
    return NounPhrase(" ".join(kept), singular(plain[-1]), tuple(plain[:-1]), side, size)


def _share_places(goals: list[Goal]) -> tuple[Goal, ...]:
    """Give "move the banana" of "move the banana and the sushi to the bowl" the place that comes after it."""
    shared: list[Goal] = []
    for goal in reversed(goals):
        carries = goal.text.split()[0] in _CARRY
        follower = shared[-1] if shared else None
        if carries and goal.place is None and follower is not None and follower.place is not None:
            text = f"{goal.text} {follower.preposition or 'to'} the {follower.place.text}"
            goal = replace(goal, text=text, place=follower.place, preposition=follower.preposition)
        shared.append(goal)
    return tuple(reversed(shared))
