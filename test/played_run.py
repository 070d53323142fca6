"""A run folder as a whole graph leaves it, made in this process: journal, store, rows and checkpoints of a toy run."""

from __future__ import annotations

import shutil
from pathlib import Path

from toy_world import PROMPTS, Chain, InlineTrainer, ToyOperator, toy_learner, write_preset

from sarl_ros.core import episode_events as ev
from sarl_ros.core.episode import EpisodeMachine
from sarl_ros.core.learner_events import EpisodeNews, StepAnswer, StepOutcome
from sarl_ros.core.types import Decision, Ended, StepKey, Verdict
from sarl_ros.learner.core import LearnerCore
from sarl_ros.records.checks import JOURNAL
from sarl_ros.runs.folder import RunFolder
from sarl_ros.store import appendfile
from sarl_ros.store.journal import Journal


class JournalingOperator(ToyOperator):
    """A toy operator with the real machine, which journals each event before it acts on its effects."""

    def __init__(self, folder: Path, run: str, chain: Chain, horizon: int) -> None:
        super().__init__(run, chain, horizon=horizon)
        self.config = ev.EpisodeConfig(max_steps=horizon, seed_base=0)
        self.journal = Journal(folder / JOURNAL)
        self.machine = EpisodeMachine.replay(self.config, map(ev.event_from_json, self.journal.read()))

    def take(self, core: LearnerCore, event: ev.Event) -> None:
        outcome = self.machine.handle(event)
        if not outcome.record:
            return
        entry = ev.event_to_json(event) | {"accepted": outcome.accepted, "detail": outcome.detail}
        if isinstance(event, ev.Opened):
            entry["settings"] = {"run": self.run, "max_steps": self.config.max_steps, "seed_base": 0, "auto": True}
        self.journal.append(entry)
        for effect in outcome.effects:
            if isinstance(effect, ev.ShowEpisode):
                core.handle(EpisodeNews(self.run, effect.episode, effect.state, "go.", effect.seed, effect.reason))
            elif isinstance(effect, ev.GiveVerdict):
                key = StepKey(self.run, effect.episode, effect.step)
                self.answers[key] = StepAnswer(key, effect.verdict, effect.amendment, effect.reason)
                core.handle(self.answers[key])

    def begin(self, core: LearnerCore, episode: int) -> None:
        self.take(core, ev.Press(ev.Button.START, "auto") if episode == 1 else ev.Proceed())
        core.advance()
        self.take(core, ev.ResetDone(self.machine.attempt))

    def start(self, core: LearnerCore, episode: int) -> None:
        self.take(core, ev.Press(ev.Button.START, "auto"))
        self.chain.reset(episode)
        self._result(core, StepKey(self.run, episode, 0), ev.Ended.START)

    def execute(self, core: LearnerCore, decision: Decision) -> Verdict:
        key = decision.key
        self.take(core, ev.PromptSeen(key.episode, key.step))
        self.chain.run(decision.prompt)
        self._result(core, key, ev.Ended.COMPLETED)
        self.take(core, ev.Result(key.episode, key.step, ev.Ended.COMPLETED, self.chain.time_ns))
        self.take(core, ev.Judged(key.episode, key.step, self.chain.success))
        return self.answers[key].verdict

    def _result(self, core: LearnerCore, key: StepKey, ended: ev.Ended) -> None:
        self.results[key] = StepOutcome(key, Ended(int(ended)), self.chain.observe())
        core.handle(self.results[key])


def play(folder: Path, episodes: int = 3, agent: str = "sarl", horizon: int = 4, reliability: float = 0.7) -> RunFolder:
    """Play a run to its end in `folder`, whose name is the run's."""
    folder.mkdir(parents=True)
    preset = write_preset(folder.parent, updates_per_decision=1, critics=1, hidden=4, batch=2)
    run = RunFolder(folder)
    learner = {"run_dir": str(folder), "run": folder.name, "task": "chain", "agent": agent, "preset": str(preset)}
    operator = {"run_dir": str(folder), "run": folder.name, "task": "chain", "episodes": episodes, "seed_base": 0}
    run.write(
        {
            "operator": {"ros__parameters": operator},
            "sarl_learner": {"ros__parameters": learner | {"evaluate": False, "prompts": str(folder / "prompts.txt")}},
        }
    )
    made, options = toy_learner(folder, preset=str(preset), agent=agent)
    core, person = made.core, JournalingOperator(folder, folder.name, Chain(2, reliability), horizon)
    trainer = InlineTrainer(options) if options.learns else None
    if trainer is not None:
        trainer.greet(core)
    person.take(core, ev.Opened(episodes))
    for episode in range(1, episodes + 1):
        person.begin(core, episode)
        if trainer is not None:
            trainer.carry_out(core)
        person.start(core, episode)
        verdict = Verdict.CONTINUE
        while verdict is Verdict.CONTINUE:
            decisions = core.advance()
            if decisions:
                verdict = person.execute(core, decisions[0])
            else:
                person.propose(core, PROMPTS[:2])
        core.advance()
        person.propose(core, PROMPTS[:2])
        core.advance()
    person.take(core, ev.Proceed())
    if trainer is not None:
        trainer.carry_out(core)
    made.close()
    person.journal.close()
    return run


class Moments:
    """Copies of a folder after each durable write, and with half of each append, as a power cut leaves them."""

    def __init__(self, folder: Path, copies: Path, monkeypatch) -> None:
        self._folder, self._copies = folder, copies
        self.found: list[Path] = []
        append, replace_file = appendfile.AppendFile.append, appendfile.replace_file

        def appended(file: appendfile.AppendFile, data: bytes) -> None:
            whole = file.path.read_bytes()
            file.path.write_bytes(whole + data[: len(data) // 2])
            self._keep()
            file.path.write_bytes(whole)
            append(file, data)
            self._keep()

        def replaced(path: Path, parts) -> None:
            replace_file(path, parts)
            self._keep()

        monkeypatch.setattr(appendfile.AppendFile, "append", appended)
        for module in ("checkpoint", "journal", "replay_store"):
            monkeypatch.setattr(f"sarl_ros.store.{module}.replace_file", replaced)

    def _keep(self) -> None:
        copy = self._copies / f"{len(self.found):03}" / self._folder.name
        shutil.copytree(self._folder, copy, symlinks=True)
        self.found.append(copy)
