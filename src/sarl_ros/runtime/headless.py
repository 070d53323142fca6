"""A whole run without ROS: world, policy, proposer, episode machine and learner in one process, into one run folder.

Only the trainer has a process of its own, as in the graph: it works while the arm moves.

The graph's twin: from the same config.yaml it makes the same decisions and transitions. What a node does there because
others may be late, restart or die has no counterpart; a bag is not written.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sarl_ros.core import episode_events as ev
from sarl_ros.core.episode_events import Button, Press
from sarl_ros.core.learner_events import EpisodeNews, GroundTruth, LearnerFigures, StepAnswer, StepOutcome
from sarl_ros.core.task import Task, load_task
from sarl_ros.core.types import Decision, Ended, EpisodeState, Observation, StepKey
from sarl_ros.learner.setup import LearnerOptions, make_learner
from sarl_ros.learner.tensorboard import Board
from sarl_ros.learner.trainer_link import TrainerLink, trainer_news
from sarl_ros.methods.registry import chunk_actor
from sarl_ros.parameters.operator import OperatorParameters
from sarl_ros.parameters.prompt_proposer import ProposerParameters
from sarl_ros.parameters.sarl_learner import LearnerParameters
from sarl_ros.parameters.vla_executor import ExecutorParameters
from sarl_ros.policies.chunk_player import stable_seed
from sarl_ros.policies.registry import load_policy
from sarl_ros.proposers.registry import load_proposer
from sarl_ros.records.episode_journal import EpisodeJournal
from sarl_ros.runtime.step_runner import StepDone, StepRunner
from sarl_ros.runtime.world_arm import WorldArm
from sarl_ros.sim.env import TabletopEnv
from sarl_ros.sim.tasks import load_sim_task
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.images import decode_jpeg, encode_jpeg
from widowx_bridge.settings import BridgeParameters

WAIT_S = 0.1
"""For an answer of the trainer, before others may look at the figures."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Parameters of the nodes that a headless run stands for."""

    operator: OperatorParameters
    learner: LearnerParameters
    executor: ExecutorParameters
    proposer: ProposerParameters
    arm: BridgeParameters

    @classmethod
    def of(cls, tree: dict[str, Any], source: Path) -> Settings:
        """From a ROS parameter tree; `source` names its file in errors. Raises YamlError."""

        def values(node: str) -> tuple[dict[str, Any], str]:
            return tree[node]["ros__parameters"], f"{source}: {node}"

        return cls(
            operator=OperatorParameters.of(*values("operator")),
            learner=LearnerParameters.of(*values("sarl_learner")),
            executor=ExecutorParameters.of(*values("vla_executor")),
            proposer=ProposerParameters.of(*values("prompt_proposer")),
            arm=BridgeParameters.of(*values("arm_bridge")),
        )


@dataclass(frozen=True, slots=True)
class StepNews:
    """A step has ended, for whoever shows progress."""

    episode: int
    prompt: str
    control_steps: int


class HeadlessRun:
    """One run of a folder, from where it stands to its end.

    Args:
        folder: of the run.
        run: its name.
        settings: parameters of the nodes that it stands for.
        on_episode: called with each change of the episode's state, and the outcomes so far.
        on_step: called after each step.
        on_wait: called every `WAIT_S` while the trainer is waited for.

    Raises:
        LearnerError, StoreError, TaskError, PolicyError, ProposerError, ValueError: a setting or a record is unusable.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        settings: Settings,
        on_episode: Callable[[ev.ShowEpisode], None] = lambda _: None,
        on_step: Callable[[StepNews], None] = lambda _: None,
        on_wait: Callable[[LearnerFigures], None] = lambda _: None,
    ) -> None:
        torch.set_num_threads(1)
        self._run, self._on_episode, self._on_step, self._on_wait = run, on_episode, on_step, on_wait
        operator, learner, executor = settings.operator, settings.learner, settings.executor
        self._task, self._wide = load_task(operator.task), operator.wide
        self._sim_task = load_sim_task(operator.task)
        self._episodes, self._control_steps = operator.episodes, learner.control_steps
        self._env = TabletopEnv(controller=settings.arm.controller())
        self._runner = StepRunner(load_policy(executor.policy), executor.execute, executor.max_refusals)
        self._runner.warm_up()
        self._proposer = load_proposer(settings.proposer.proposer)
        self._journal = _open_journal(folder, run, operator, self._task)
        self._machine = self._journal.machine
        self._board = Board(folder)
        options = LearnerOptions.of(learner)
        self._learner = make_learner(options, self._board.row)
        self._core = self._learner.core
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._trainer: TrainerLink | None = None
        if options.learns:
            of_run = (folder, options.agent, options.preset, options.seed, learner.keep_checkpoints_every)
            self._trainer = TrainerLink(*of_run, self._answers.put)
            self._trainer.start()

    @property
    def repairs(self) -> list[str]:
        """What had to be put right in the records, a line each."""
        return [*filter(None, [self._journal.repair]), *self._learner.repairs]

    def run(self) -> LearnerFigures:
        """Play all episodes that the run still lacks.

        Raises:
            StoreError, AgentError: a record cannot be written, or the method cannot choose; nothing recorded is lost.
        """
        self._retell()
        self._apply(ev.Opened(self._episodes))
        if self._machine.state == EpisodeState.HELD:
            self._apply(Press(Button.CLEAR, "auto"))
        while self._machine.state != EpisodeState.FINISHED:
            self._run_episode()
        self._settle()
        self._board.draw(wait=True)
        return self._core.figures()

    def _run_episode(self) -> None:
        """From whatever comes before an episode to the end of it, and on to what follows."""
        if self._machine.state == EpisodeState.IDLE:
            self._apply(Press(Button.START, "auto"))
        if self._machine.state == EpisodeState.READY:
            self._settle()
            self._apply(Press(Button.START, "auto"))
            self._tell_result(0, self._see(), StepDone(Ended.START, "", 0, None))
        while self._machine.state == EpisodeState.RUNNING:
            self._step()
        self._advance()
        self._apply(ev.Proceed())

    def _step(self) -> None:
        """One decision, its prompt, its result and its verdict."""
        decision = self._decide()
        key, prompt = decision.key, decision.prompt
        self._apply(ev.PromptSeen(key.episode, key.step))
        actor = chunk_actor(decision.chunk_actor, decision.chunk_actor_state)
        done = self._runner.run(WorldArm(self._env), prompt, self._seed(key), self._control_steps, actor)
        self._on_step(StepNews(key.episode, prompt, done.control_steps))
        seen = self._see() if done.observation is None else _as_it_travels(done.observation)
        self._tell_result(key.step, seen, done)
        if self._machine.pending is not None:
            judgement = self._env.judge()
            self._apply(ev.Judged(key.episode, key.step, judgement.success, judgement.reached))

    def _seed(self, key: StepKey) -> int:
        return stable_seed(self._machine.seed, key.step)

    def _see(self) -> Observation:
        return _as_it_travels(self._env.observe())

    def _tell_result(self, step: int, seen: Observation, done: StepDone) -> None:
        machine = self._machine
        suitable = self._env.judge().suitable
        self._core.handle(GroundTruth(seen.stamp_ns, machine.seed, tuple(suitable)))
        self._core.handle(StepOutcome(StepKey(self._run, machine.episode, step), done.ended, seen, done.chunk_records))
        self._apply(ev.Result(machine.episode, step, done.ended, seen.stamp_ns, done.reason))

    # The episode machine: an event, its place on the disk, its effects.

    def _apply(self, event: ev.Event) -> None:
        outcome = self._machine.handle(event)
        if not outcome.record:
            return
        self._journal.record(event, outcome)
        for effect in outcome.effects:
            self._carry_out(effect)

    def _carry_out(self, effect: ev.Effect) -> None:
        match effect:
            case ev.ShowEpisode():
                self._tell_episode(effect)
            case ev.GiveVerdict():
                key = StepKey(self._run, effect.episode, effect.step)
                self._core.handle(StepAnswer(key, effect.verdict, effect.amendment, effect.reason))
            case ev.BeginReset():
                self._env.reset(self._sim_task, effect.seed, self._wide)
                self._apply(ev.ResetDone(effect.attempt))

    def _tell_episode(self, shown: ev.ShowEpisode) -> None:
        instruction = self._task.instruction
        self._core.handle(EpisodeNews(self._run, shown.episode, shown.state, instruction, shown.seed, shown.reason))
        self._on_episode(shown)

    def _retell(self) -> None:
        """What the operator's topics would still say of a run that goes on."""
        for given in self._machine.verdicts.given:
            key = StepKey(self._run, given.episode, given.step)
            self._core.handle(StepAnswer(key, given.verdict, given.amendment, given.reason))

    # The learner.

    def _decide(self) -> Decision:
        while True:
            if decided := self._advance():
                return decided[-1]
            if self._trainer is None:
                raise RuntimeError(f"episode {self._machine.episode} waits for a decision that nobody makes")
            self._wait()

    def _settle(self) -> None:
        """Until all is stored, and learned from."""
        self._advance()
        while not self._core.figures().ready:
            self._wait()
            self._advance()

    def _advance(self) -> list[Decision]:
        """Let the learner do all that it can now: store, propose, decide, give the trainer work."""
        decided: list[Decision] = []
        self._listen()
        while True:
            decided += self._core.advance()
            self._core.candidate_sets()
            wanted = self._core.wanted()
            if wanted is not None:
                self._core.propose(wanted, self._proposer.propose(wanted.request))
                continue
            order = self._core.order() if self._trainer is not None else None
            if order is None:
                return decided
            assert self._trainer is not None
            self._trainer.order(order)

    def _wait(self) -> None:
        """For the trainer's next answer, or until others may have a look."""
        with contextlib.suppress(queue.Empty):
            self._told(self._answers.get(timeout=WAIT_S))
        self._on_wait(self._core.figures())

    def _listen(self) -> None:
        """Take the answers that the trainer has given."""
        while not self._answers.empty():
            self._told(self._answers.get())

    def _told(self, answer: dict[str, Any]) -> None:
        """Raises StoreError where the trainer has ended."""
        if "error" in answer:
            raise StoreError(answer["error"])
        if "ended" in answer:
            raise StoreError(f"the trainer process ended with code {answer['ended']}: resume the run to go on")
        news = trainer_news(answer)
        self._core.handle(news)
        if news.paid:
            self._board.trained(news)

    def close(self) -> None:
        if self._trainer is not None:
            self._trainer.close()
        self._board.close()
        self._learner.close()
        self._journal.close()
        self._env.close()


def _as_it_travels(observation: Observation) -> Observation:
    """With the images that a message brings, which are JPEG."""
    front, wrist = (
        decode_jpeg(np.frombuffer(encode_jpeg(image), np.uint8)) for image in (observation.front, observation.wrist)
    )
    return Observation(front, wrist, observation.proprio, observation.stamp_ns)


def _open_journal(folder: Path, run: str, operator: OperatorParameters, task: Task) -> EpisodeJournal:
    config = operator.episode_config(task)
    settings = {
        "run": run,
        "task": task.name,
        "max_steps": config.max_steps,
        "seed_base": config.seed_base,
        "auto": True,
        "wide": operator.wide,
    }
    return EpisodeJournal(folder, run, config, settings)
