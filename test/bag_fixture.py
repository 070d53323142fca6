"""Bags of plausible runs: messages told one after the other, and a toy run whose every message is kept."""

from __future__ import annotations

import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from toy_world import INSTRUCTION, PROMPTS, Chain, ToyOperator

from sarl_interfaces import msg
from sarl_ros.core.learner_events import StepAnswer, StepOutcome
from sarl_ros.core.proposal import Proposal
from sarl_ros.core.types import Decision, Ended, EpisodeState, Observation, StepKey, Verdict
from sarl_ros.learner.core import LearnerCore
from sarl_ros.methods.preset import load_preset
from sarl_ros.ros import convert
from sarl_ros.store import bag_run
from sarl_ros.store.bag_writing import BagWriter

BEGIN_NS = 1_700_000_000_000_000_000
STEP_NS = 10_000_000
Told = tuple[str, int, object]


def type_of(message) -> str:
    package = type(message).__module__.split(".")[0]
    return f"{package}/msg/{type(message).__name__}"


_wire: dict[int, tuple[object, bytes]] = {}


def serialized(message) -> bytes:
    """A message as it is on the wire: the same bytes each time, which serializing twice does not give (padding)."""
    if id(message) not in _wire:
        _wire[id(message)] = message, serialize_message(message)
    return _wire[id(message)][1]


def write_bag(folder: Path, name: str, told: Iterable[Told], metadata: dict[str, str], sealed: bool = True) -> Path:
    """Write messages (topic, time received, message) as the recorder does; unsealed as a killed one leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = BagWriter(folder, name, metadata)
    for topic, time_ns, message in told:
        writer.write(topic, type_of(message), time_ns, serialized(message), [])
    if sealed:
        return writer.seal()
    writer.flush()
    writer.leave()
    return writer.path


class Tape:
    """Messages of a run in the order a recorder hears them, `STEP_NS` apart."""

    def __init__(self, run: str, learner: dict | None = None, preset: Path | str = "sim") -> None:
        self.run = run
        self.told: list[Told] = []
        self.now_ns = BEGIN_NS
        text = load_preset(str(preset)).model_dump()
        text["strides"] = list(text["strides"])
        config = {"sarl_learner": {"ros__parameters": {"run": run, "task": "chain", **(learner or {})}}}
        self.metadata = {"run": run, "config": yaml.safe_dump(config), "preset": yaml.safe_dump(text), "version": "0"}

    def tell(self, topic: str, message) -> None:
        self.now_ns += STEP_NS
        self.told.append((topic, self.now_ns, message))

    def key(self, episode: int, step: int) -> msg.StepKey:
        return msg.StepKey(run=self.run, episode=episode, step=step)

    def state(self, episode: int, state: EpisodeState, reason: str = "", step: int = 0) -> None:
        message = msg.Episode(
            run=self.run,
            episode=episode,
            state=int(state),
            task="chain",
            instruction=INSTRUCTION,
            seed=episode,
            step=step,
            reason=reason,
        )
        self.tell(bag_run.EPISODE, message)

    def prompt(self, episode: int, step: int, prompts: Sequence[str] = PROMPTS[:3], chosen: int = 0) -> None:
        candidates = [
            msg.Candidate(prompt=text, pool_index=row, q_mean=-0.5, q_std=0.1, probability=1 / len(prompts))
            for row, text in enumerate(prompts)
        ]
        message = msg.Prompt(
            key=self.key(episode, step),
            prompt=prompts[chosen],
            control_steps=24,
            candidates=candidates,
            chosen=chosen,
            agent="sarl",
            suitable_offered=-1,
        )
        self.tell(bag_run.PROMPT, message)

    def result(self, episode: int, step: int, ended: Ended = Ended.COMPLETED, stage: int = 0) -> None:
        chain = Chain()
        chain.stage, chain.time_ns = stage, step * 4_800_000_000
        self.tell(bag_run.STEP_RESULT, result_message(self.key(episode, step), ended, chain.observe()))

    def verdict(self, episode: int, step: int, verdict: Verdict, amendment: bool = False) -> None:
        message = msg.StepVerdict(key=self.key(episode, step), verdict=int(verdict), amendment=amendment, source="auto")
        self.tell(bag_run.STEP_VERDICT, message)

    def proposal(self, episode: int, step: int, prompts: Sequence[str] = PROMPTS[:3], stamp_ns: int = 0) -> None:
        candidates = [msg.Candidate(prompt=text, pool_index=row) for row, text in enumerate(prompts)]
        message = msg.Proposal(key=self.key(episode, step), candidates=candidates)
        message.header.stamp = convert.to_time(stamp_ns or self.now_ns)
        self.tell(bag_run.PROPOSAL, message)

    def event(self, episode: int, step: int, name: str) -> None:
        message = msg.EpisodeEvent(key=self.key(episode, step), event=name, source="auto", accepted=True)
        message.header.stamp = convert.to_time(self.now_ns)
        self.tell(bag_run.EPISODE_EVENT, message)

    def episode(self, episode: int, verdicts: Sequence[Verdict] = (Verdict.CONTINUE, Verdict.SUCCESS)) -> None:
        """A whole episode that ends as its last verdict says."""
        self.state(episode, EpisodeState.RESETTING)
        self.state(episode, EpisodeState.READY)
        self.state(episode, EpisodeState.RUNNING, "started by auto")
        self.result(episode, 0, Ended.START)
        self.proposal(episode, 0)
        for step, verdict in enumerate(verdicts, 1):
            self.prompt(episode, step)
            self.event(episode, step, "prompt")
            self.result(episode, step, Ended.STOPPED if verdict is Verdict.ABORTED else Ended.COMPLETED, stage=step)
            self.verdict(episode, step, verdict)
            if verdict not in (Verdict.SUCCESS, Verdict.ABORTED):
                self.proposal(episode, step)
        self.state(episode, EpisodeState[verdicts[-1].name], verdicts[-1].name.lower(), step=len(verdicts))

    def write(self, folder: Path, split: Sequence[int] = (), sealed: bool = True) -> list[Path]:
        """Write the run's bags, one an episode; `split` names indices of messages where a recorder began again.

        The last bag is left open unless `sealed`.
        """
        starts = {0: 1}
        running = [
            (index, message.episode)
            for index, (topic, _, message) in enumerate(self.told)
            if topic == bag_run.EPISODE and message.state == EpisodeState.RUNNING
        ]
        seen: set[int] = set()
        for index, episode in running:
            if episode not in seen and episode > 1:
                starts[index] = episode
            seen.add(episode)
        for index in split:
            starts[index] = max(episode for begin, episode in starts.items() if begin <= index)
        order = sorted(starts)
        paths, parts = [], {}
        for begin, end in zip(order, [*order[1:], len(self.told)], strict=True):
            episode = starts[begin]
            parts[episode] = part = parts.get(episode, 0) + 1
            name = f"episode-{episode:04}" + (f"-{part}" if part > 1 else "")
            metadata = self.metadata | {"episode": str(episode)}
            last = end == len(self.told)
            paths.append(write_bag(folder, name, self.told[begin:end], metadata, sealed or not last))
        return paths


def result_message(key: msg.StepKey, ended: Ended, observation: Observation) -> msg.StepResult:
    seen = convert.observation_to(observation)
    return msg.StepResult(key=key, header=seen.header, control_steps=24, ended=int(ended), observation=seen)


def jpeg(time_ns: int, size: int = 8) -> CompressedImage:
    return convert.jpeg_to(Chain().observe().front[:size, :size], time_ns, "camera")


def raw_image(time_ns: int) -> Image:
    message = Image(height=2, width=2, encoding="rgb8", step=6)
    message.header.stamp = convert.to_time(time_ns)
    message.data = array.array("B", range(12))
    return message


class TapedOperator(ToyOperator):
    """A toy operator that keeps what the nodes would publish; images go through JPEG as they do in the graph."""

    def __init__(self, tape: Tape, chain: Chain, horizon: int = 8) -> None:
        super().__init__(tape.run, chain, horizon=horizon)
        self.tape = tape

    def tell_state(self, core: LearnerCore, episode: int, state: EpisodeState) -> None:
        self.tape.state(episode, state)
        super().tell_state(core, episode, state)

    def _result(self, core: LearnerCore, key: StepKey, ended: Ended) -> None:
        message = result_message(convert.key_to(key), ended, self.chain.observe())
        self.tape.tell(bag_run.STEP_RESULT, message)
        seen = convert.observation_from(message.observation)
        observe, self.chain.observe = self.chain.observe, lambda: seen  # type: ignore[method-assign]
        super()._result(core, key, ended)
        self.chain.observe = observe  # type: ignore[method-assign]

    def _answer(self, core: LearnerCore, key: StepKey) -> None:
        super()._answer(core, key)
        self.tape.verdict(key.episode, key.step, self.answers[key].verdict)

    def amend(self, core: LearnerCore, key: StepKey, verdict: Verdict) -> None:
        self.answers[key] = StepAnswer(key, verdict, amendment=True)
        self.tape.verdict(key.episode, key.step, verdict, amendment=True)
        core.handle(self.answers[key])

    def execute(self, core: LearnerCore, decision: Decision) -> Verdict:
        self.publish(core, decision)
        return super().execute(core, decision)

    def publish(self, core: LearnerCore, decision: Decision) -> None:
        offered = core.suitable_offered(decision.key)
        self.tape.tell(bag_run.PROMPT, convert.decision_to(decision, 24, self.tape.now_ns, offered))
        self.tell_candidates(core)

    def stop(self, core: LearnerCore, decision: Decision) -> None:
        """Cut a step short, as when an episode is aborted."""
        self.publish(core, decision)
        message = result_message(convert.key_to(decision.key), Ended.STOPPED, self.chain.observe())
        self.tape.tell(bag_run.STEP_RESULT, message)
        core.handle(StepOutcome(decision.key, Ended.STOPPED, convert.observation_from(message.observation)))
        self.answers[decision.key] = StepAnswer(decision.key, Verdict.ABORTED)
        self.tape.verdict(decision.key.episode, decision.key.step, Verdict.ABORTED)
        core.handle(self.answers[decision.key])

    def propose(self, core: LearnerCore, prompts=PROMPTS) -> None:
        wanted = core.wanted()
        if wanted is None:
            return
        core.propose(wanted, Proposal(tuple(prompts[: wanted.request.count])))
        self.tell_candidates(core)

    def tell_candidates(self, core: LearnerCore) -> None:
        for known in core.candidate_sets():
            self.tape.tell(bag_run.PROPOSAL, convert.candidate_set_to(known, self.tape.now_ns))
