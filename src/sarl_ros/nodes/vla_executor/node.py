"""Runs prompts: one policy action a control period for as many periods as the prompt asks, then one step result.

The arm owns time: each command is answered by an arm state, and that answer starts the next period. Nothing sleeps.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import PublisherEventCallbacks
from sensor_msgs.msg import Image

from sarl_interfaces.msg import ArmCommand, ArmState, Episode, Prompt, StepResult
from sarl_interfaces.msg import Observation as ObservationMessage
from sarl_ros.core.prompt_pool import MAX_PROMPT_CHARACTERS, normalise
from sarl_ros.core.types import Ended, Observation, StepKey
from sarl_ros.methods.registry import chunk_actor
from sarl_ros.nodes.vla_executor.inbox import EpisodeName, Inbox, name_of
from sarl_ros.parameters.vla_executor import ExecutorParameters
from sarl_ros.policies.chunk_player import ChunkActor, stable_seed
from sarl_ros.policies.policy import PolicyError
from sarl_ros.policies.registry import load_policy
from sarl_ros.policies.timed import TimedPolicy
from sarl_ros.ros import convert, topics
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare
from sarl_ros.runtime.arm import Answer, StepEnded
from sarl_ros.runtime.step_runner import StepDone, StepRunner
from sarl_ros.store.appendfile import StoreError

KEPT_RESULTS = 64
FARTHEST_SEQUENCE = 1 << 40  # milliseconds: a predecessor's clock was never years ahead
MAX_CONTROL_STEPS = 10_000
# An episode that already ran when this process came up is most likely about to be aborted because of this restart.
JOIN_GRACE_S = 2.0
READY_CHECK_S = 0.25


def make_runner(settings: ExecutorParameters) -> StepRunner:
    """Runner of steps with the policy of that name, its first slow call behind it; later ones have a time-out.

    Raises:
        SetupError: there are no such weights, or `execute` does not suit them.
    """
    try:
        policy = load_policy(settings.policy)
        StepRunner(policy, settings.execute).warm_up()
        return StepRunner(TimedPolicy(policy, settings.plan_timeout_s), settings.execute, settings.max_refusals)
    except (PolicyError, ValueError) as error:
        raise SetupError(f"policy {settings.policy}: {error}") from None


class ExecutorArm:
    """The arm of one step, as `runtime.arm.Arm`: commands and what has arrived at the executor."""

    def __init__(self, executor: VlaExecutor, key: StepKey) -> None:
        self._executor, self._key = executor, key

    def observe(self) -> Observation:
        return self._executor.observe(self._key)

    def act(self, action: NDArray[np.floating]) -> Answer:
        state = self._executor.command(self._key, action)
        return Answer(state.accepted, state.refusal, held=state.mode in (ArmState.HOLD, ArmState.FAULT))

    def running(self) -> str:
        return self._executor.why_stopped(self._key)


class VlaExecutor(SarlNode):
    """See the module. Callbacks only store what came; one thread does the steps."""

    def __init__(self) -> None:
        super().__init__("vla_executor")
        settings = declare(self, ExecutorParameters)
        self._period_s, self._timeout_s = settings.control_period_s, settings.arm_timeout_s
        self._cameras = (settings.front_camera, settings.wrist_camera)
        self._runner = make_runner(settings)
        self._inbox = Inbox(self._cameras, settings.image_slack_s, self._timeout_s)
        # Used by the step thread alone.
        self._opened: EpisodeName | None = None
        self._last_step = 0
        self._results: OrderedDict[StepKey, StepResult] = OrderedDict()
        self._seq = time.time_ns() // 1_000_000  # grows across restarts as long as periods take over 1 ms
        self._connect()
        self._thread = threading.Thread(target=self._work, name="steps", daemon=True)
        self._thread.start()

    def _connect(self) -> None:
        def matched(_: object) -> None:
            self._inbox.notify()

        def on_image(camera: str):
            return lambda serialized: self._inbox.on_image(camera, serialized)

        inbox, group = self._inbox, MutuallyExclusiveCallbackGroup
        self._commands = self.create_publisher(
            ArmCommand, topics.ARM_COMMAND, topics.STREAM, event_callbacks=PublisherEventCallbacks(matched=matched)
        )
        self._step_results = self.create_publisher(StepResult, topics.STEP_RESULT, topics.PROTOCOL)
        self.create_subscription(Episode, topics.EPISODE, inbox.on_episode, topics.LATCHED, callback_group=group())
        self.create_subscription(Prompt, topics.PROMPT, inbox.on_prompt, topics.PROTOCOL, callback_group=group())
        self.create_subscription(ArmState, topics.ARM_STATE, inbox.on_arm_state, topics.STREAM, callback_group=group())
        for camera in self._cameras:
            topic = topics.camera_image(camera)
            self.create_subscription(Image, topic, on_image(camera), topics.IMAGE, callback_group=group(), raw=True)
        self.create_steady_timer(READY_CHECK_S, self._check_ready)

    def _check_ready(self) -> None:
        self.ready = self._commands.get_subscription_count() > 0 and all(
            self.count_publishers(topics.camera_image(camera)) > 0 for camera in self._cameras
        )

    def _work(self) -> None:
        while True:
            self._inbox.wait(lambda: self._to_open() is not None or bool(self._inbox.prompts))
            if self._inbox.closing:
                return
            episode = self._to_open()
            if episode is not None:
                self._open(episode)
            else:
                self._take(self._inbox.prompts.popleft())

    def _to_open(self) -> Episode | None:
        """The running episode if nobody has begun it yet; one past step 0 was begun by an executor that is gone."""
        episode = self._inbox.episode
        if episode is None or episode.state != Episode.RUNNING or episode.step > 0 or name_of(episode) == self._opened:
            return None
        return episode

    def _open(self, episode: Episode) -> None:
        """Publish the observation that the episode starts from, or nothing if it stops first."""
        name = name_of(episode)
        self._opened, self._last_step = name, 0
        inbox = self._inbox
        if name == inbox.began_running and inbox.wait(lambda: not inbox.runs(name), JOIN_GRACE_S):
            return
        # Images of the scene before the reset may still be on their way to us.
        not_before_ns = convert.stamp_ns(episode.header.stamp)
        while True:
            try:
                observation = inbox.observe(name, not_before_ns)
            except StepEnded as why:
                if why.ended is Ended.STOPPED:
                    return
                self.faults["observation"] = why.reason
                self.get_logger().warning(f"episode {episode.episode} waits: {why.reason}")
                not_before_ns = 0
                continue
            self.faults.pop("observation", None)
            self._publish(StepKey(*name, 0), "", StepDone(Ended.START, "", 0, observation))
            return

    def _take(self, prompt: Prompt) -> None:
        """Answer a prompt with exactly one result; a repeated one with the result it had."""
        key = convert.key_from(prompt.key)
        stored = self._results.get(key)
        if stored is not None:
            self._step_results.publish(stored)
            return
        name, newest = (key.run, key.episode), self._inbox.episode
        if name != self._opened and not (newest and self._inbox.runs(name) and key.step == newest.step + 1):
            # Kept by the topic from before this process; a second answer to it would contradict the first.
            self.get_logger().warning(f"ignored the prompt {key}, of an episode that this process did not begin")
            return
        text = prompt.prompt[:MAX_PROMPT_CHARACTERS]
        try:
            text = self._accept(key, prompt)
            actor = self._chunk_actor(prompt)
            done = self._runner.run(ExecutorArm(self, key), text, self._seed(key), prompt.control_steps, actor)
        except StepEnded as refusal:
            done = StepDone(refusal.ended, refusal.reason, 0, None)
        if done.ended is not Ended.COMPLETED:
            self.get_logger().info(f"step {key.step} of episode {key.episode} ended early: {done.reason}")
            done = replace(done, observation=self._inbox.newest_observation())
        self._publish(key, text, done)

    def _chunk_actor(self, prompt: Prompt) -> ChunkActor | None:
        """What the prompt wants to act inside its step. Raises StepEnded (FAULT) where it cannot be made."""
        try:
            return chunk_actor(prompt.chunk_actor, prompt.chunk_actor_state)
        except (ValueError, StoreError) as error:
            raise StepEnded(Ended.FAULT, f"nothing can act inside the step: {error}") from error

    def _seed(self, key: StepKey) -> int:
        """From the reset seed where there is one, so that a run under another name with the same choices repeats it."""
        episode = self._inbox.episode
        origin = (episode.seed,) if episode is not None and episode.seed >= 0 else (key.run, key.episode)
        return stable_seed(*origin, key.step)

    def _accept(self, key: StepKey, prompt: Prompt) -> str:
        """The normalised prompt. Raises StepEnded (REFUSED) when it must not be executed."""
        name = (key.run, key.episode)
        problem = None
        if not self._inbox.runs(name):
            problem = f"episode {key.episode} is not running: wait for its next state"
        elif name != self._opened:
            problem = f"episode {key.episode} was begun by another executor: abort it"
        elif key.step != self._last_step + 1:
            problem = f"step {key.step} does not follow step {self._last_step}: send the next one"
        elif not 1 <= prompt.control_steps <= MAX_CONTROL_STEPS:
            problem = f"control_steps is {prompt.control_steps}: ask for 1 to {MAX_CONTROL_STEPS}"
        if problem:
            raise StepEnded(Ended.REFUSED, problem)
        self._last_step = key.step
        try:
            return normalise(prompt.prompt)
        except ValueError as error:
            raise StepEnded(Ended.REFUSED, str(error)) from None

    def command(self, key: StepKey, action: NDArray[np.floating]) -> ArmState:
        """Run one control period of step `key`; the arm's answer.

        Raises:
            StepEnded: the episode left RUNNING, or the arm did not answer.
        """
        name, inbox = (key.run, key.episode), self._inbox
        inbox.wait(lambda: self._commands.get_subscription_count() > 0 or not inbox.runs(name), self._timeout_s)
        inbox.require_running(name)
        heard = inbox.arm.seq if inbox.arm else 0
        seq = self._seq = (heard if self._seq < heard < self._seq + FARTHEST_SEQUENCE else self._seq) + 1
        self._commands.publish(ArmCommand(key=convert.key_to(key), seq=seq, action=action.astype(np.float64)))
        inbox.wait(lambda: inbox.answered(seq) or not inbox.runs(name), self._timeout_s)
        if not inbox.runs(name):
            # The period under way is let finish, so that the last observation is of an arm at rest.
            inbox.wait(lambda: inbox.answered(seq), self._period_s)
            inbox.require_running(name)
        if inbox.answer is None or not inbox.answered(seq):
            inbox.require_running(name)
            raise StepEnded(Ended.FAULT, f"the arm did not answer within {self._timeout_s} s: is arm_bridge running?")
        return inbox.answer

    def observe(self, key: StepKey) -> Observation:
        """See `Inbox.observe`."""
        return self._inbox.observe((key.run, key.episode))

    def why_stopped(self, key: StepKey) -> str:
        """See `Inbox.why_stopped`."""
        return self._inbox.why_stopped((key.run, key.episode))

    def _publish(self, key: StepKey, prompt: str, done: StepDone) -> None:
        seen = ObservationMessage() if done.observation is None else convert.observation_to(done.observation)
        result = StepResult(
            header=seen.header,
            key=convert.key_to(key),
            prompt=prompt,
            control_steps=done.control_steps,
            ended=done.ended,
            reason=" ".join(done.reason.split()),
            observation=seen,
            chunk_records=done.chunk_records,
        )
        self._results[key] = result
        while len(self._results) > KEPT_RESULTS:
            self._results.popitem(last=False)
        self._step_results.publish(result)

    def close(self) -> None:
        self._inbox.close()
        self._thread.join(timeout=2.0)


def main() -> None:
    run_node(VlaExecutor, threads=1)


if __name__ == "__main__":
    main()
