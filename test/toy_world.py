"""A world without robots for the learner's tests: a chain of stages, one right prompt each, drawn as an image.

The right prompt moves on with probability `reliability`; any other prompt does nothing. The last stage is success.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import yaml

from sarl_ros.core.learner_events import EpisodeNews, GroundTruth, StepAnswer, StepOutcome
from sarl_ros.core.proposal import Proposal
from sarl_ros.core.types import Decision, Ended, EpisodeState, Observation, StepKey, Verdict
from sarl_ros.learner.core import LearnerCore
from sarl_ros.learner.setup import Learner, LearnerOptions, make_learner
from sarl_ros.learner.trainer import TrainerWork, make_work
from sarl_ros.learner.trainer_link import trainer_news
from sarl_ros.methods.preset import load_preset

INSTRUCTION = "go through all stages."
PROMPTS = tuple(f"press button {letter}." for letter in "abcdefgh")
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]], np.uint8)


class Chain:
    """`stages` stages; prompt number i is right in stage i."""

    def __init__(self, stages: int = 3, reliability: float = 0.9) -> None:
        self.stages, self._reliability = stages, reliability
        self.reset(0)

    def reset(self, seed: int) -> None:
        self.stage, self.time_ns = 0, 0
        self._random = np.random.default_rng(seed)

    def run(self, prompt: str) -> None:
        self.time_ns += 4_800_000_000
        if prompt == PROMPTS[self.stage] and self._random.random() < self._reliability:
            self.stage += 1

    @property
    def success(self) -> bool:
        return self.stage == self.stages

    @property
    def suitable(self) -> tuple[str, ...]:
        return () if self.success else (PROMPTS[self.stage],)

    def observe(self) -> Observation:
        front = np.full((64, 64, 3), 40, np.uint8)
        column = 8 + 14 * self.stage
        front[24:40, column : column + 10] = COLOURS[self.stage % len(COLOURS)]
        proprio = np.array([0.3, 0, 0.1, 0, 0, 0, 0, 1], np.float32)
        return Observation(front, front[:8, :8], proprio, self.time_ns)


class InlineTrainer:
    """The trainer's work done at once, in this process."""

    def __init__(self, options: LearnerOptions) -> None:
        self._options = options
        self._work: TrainerWork | None = None

    def greet(self, core: LearnerCore) -> None:
        """What the trainer process says first, if there is a checkpoint."""

        def answer(told) -> None:
            core.handle(trainer_news(told))

        options = self._options
        self._work = make_work(options.run_dir, options.agent, options.preset, options.seed, 1, answer)

    def carry_out(self, core: LearnerCore) -> None:
        order = core.order()
        if order is None:
            return
        if self._work is None:
            self.greet(core)
        self._work.carry_out(dataclasses.asdict(order))


class ToyOperator:
    """Operator, executor and proposer in one: runs episodes of a chain against a core and remembers everything.

    Like the real ones' retained messages, `retell` tells a new core all it may have missed.
    """

    def __init__(self, run: str, chain: Chain, seed_base: int = 0, horizon: int = 8) -> None:
        self.run, self.chain, self._seed_base, self._horizon = run, chain, seed_base, horizon
        self.results: dict[StepKey, StepOutcome] = {}
        self.answers: dict[StepKey, StepAnswer] = {}
        self.executed: list[Decision] = []
        self.truths: list[GroundTruth] = []
        self.news = EpisodeNews(run, 0, EpisodeState.IDLE, INSTRUCTION, -1)

    def tell_state(self, core: LearnerCore, episode: int, state: EpisodeState) -> None:
        self.news = EpisodeNews(self.run, episode, state, INSTRUCTION, self._seed_base + episode)
        core.handle(self.news)

    def begin(self, core: LearnerCore, episode: int) -> None:
        self.tell_state(core, episode, EpisodeState.RESETTING)
        core.advance()

    def start(self, core: LearnerCore, episode: int) -> None:
        self.tell_state(core, episode, EpisodeState.RUNNING)
        self.chain.reset(self._seed_base + episode)
        self._result(core, StepKey(self.run, episode, 0), Ended.START)

    def execute(self, core: LearnerCore, decision: Decision) -> Verdict:
        """Run a prompt, once, and tell the result and the verdict."""
        key = decision.key
        if key not in self.results:
            self.executed.append(decision)
            self.chain.run(decision.prompt)
            self._result(core, key, Ended.COMPLETED)
            self._answer(core, key)
        return self.answers[key].verdict

    def _result(self, core: LearnerCore, key: StepKey, ended: Ended) -> None:
        truth = GroundTruth(self.chain.time_ns, self._seed_base + key.episode, self.chain.suitable)
        self.truths.append(truth)
        core.handle(truth)
        self.results[key] = StepOutcome(key, ended, self.chain.observe())
        core.handle(self.results[key])

    def _answer(self, core: LearnerCore, key: StepKey) -> None:
        verdict = Verdict.SUCCESS if self.chain.success else Verdict.CONTINUE
        if verdict is Verdict.CONTINUE and key.step == self._horizon:
            verdict = Verdict.TIMEOUT
        self.answers[key] = StepAnswer(key, verdict)
        core.handle(self.answers[key])

    def propose(self, core: LearnerCore, prompts=PROMPTS) -> None:
        wanted = core.wanted()
        if wanted is not None:
            core.propose(wanted, Proposal(tuple(prompts[: wanted.request.count])))

    def retell(self, core: LearnerCore) -> None:
        for message in [*self.truths[-1:], *self.results.values(), *self.answers.values(), self.news]:
            core.handle(message)


def play_episode(core: LearnerCore, operator: ToyOperator, trainer: InlineTrainer | None, episode: int) -> Verdict:
    """A whole episode, with the debt of updates paid before it."""
    operator.begin(core, episode)
    if trainer is not None:
        trainer.carry_out(core)
    operator.start(core, episode)
    verdict = Verdict.CONTINUE
    while verdict is Verdict.CONTINUE:
        decisions = core.advance()
        if decisions:
            verdict = operator.execute(core, decisions[0])
        else:
            operator.propose(core)
    state = EpisodeState.SUCCESS if verdict is Verdict.SUCCESS else EpisodeState.TIMEOUT
    operator.tell_state(core, episode, state)
    operator.propose(core)
    core.advance()
    return verdict


def write_preset(folder: Path, **values) -> Path:
    """The preset `sim` cut to seconds, with `values` replaced."""
    small = {"pool_capacity": 8, "critics": 2, "hidden": 16, "batch": 4, "demonstration_updates": 0, "crop_pixels": 1}
    preset = load_preset("sim").model_copy(update=small | values).model_dump()
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(preset | {"strides": list(preset["strides"])}))
    return path


def toy_learner(folder: Path, **settings) -> tuple[Learner, LearnerOptions]:
    folder.mkdir(exist_ok=True)
    options = LearnerOptions(folder, "chain", **settings)
    return make_learner(options), options
