"""Language steering: the prompts come from a person's script; what they do is recorded as a demonstration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.types import Candidate, Decision, Observation, StepKey
from sarl_ros.methods.method import FixedAgent, Method, Situation
from sarl_ros.store.sealed_text import read_sealed

PERSON = "steer"


def steered(key: StepKey, candidates: Sequence[Candidate], prompt: str) -> Decision:
    """The decision for a prompt that a person gave, in first place whether or not it was offered."""
    others = tuple(replace(each, probability=0.0) for each in candidates if each.prompt != prompt)
    known = next((each for each in candidates if each.prompt == prompt), Candidate(prompt))
    return Decision(key, (replace(known, probability=1.0), *others), 0, PERSON, demonstration=True)


class SteerAgent(FixedAgent):
    """Plays prompt sequences, one an episode in turn; the last prompt of a sequence is repeated until the end.

    Candidates are kept in the decision, so that a learner can later back up over what could have been chosen.
    """

    name = PERSON
    needs_proposals = True
    needs_ground_truth = False
    demonstration = True

    def __init__(self, sequences: Sequence[Sequence[str]]) -> None:
        if not sequences or not all(sequences):
            raise ValueError("no prompts to steer with: write one episode a line, prompts separated by '>'")
        self._sequences = [[normalise(prompt) for prompt in sequence] for sequence in sequences]

    @classmethod
    def from_file(cls, path: Path) -> SteerAgent:
        """One episode a line, prompts separated by '>'; empty lines and lines that begin with '#' are skipped.

        Raises:
            ValueError, StoreError: the file cannot be read, is damaged or holds no usable prompt.
        """
        if not path.is_file():
            raise ValueError(f"{path}: not there: name a file of prompts to steer with")
        lines = [line for line in read_sealed(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
        return cls([line.split(">") for line in lines])

    def choose(self, observation: Observation, candidates: Sequence[Candidate], situation: Situation) -> Decision:
        sequence = self._sequences[(situation.key.episode - 1) % len(self._sequences)]
        prompt = sequence[min(situation.key.step, len(sequence)) - 1]
        return steered(situation.key, candidates, prompt)


METHOD = Method(lambda choices: SteerAgent.from_file(Path(choices.prompts)))
