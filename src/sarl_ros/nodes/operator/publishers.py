"""What the operator says to the graph: the latched episode, the verdicts, and a line for each event."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from rclpy.node import Node

from sarl_interfaces.msg import Episode, EpisodeEvent, StepKey, StepVerdict
from sarl_ros.core import episode_events as ev
from sarl_ros.core.task import Task
from sarl_ros.ros import topics


class Publishers:
    """Publishes for `node`; `stamp` is given by whoever knows the time of the scene, None for ROS time."""

    def __init__(self, node: Node, run: str, task: Task, max_steps: int) -> None:
        self._node, self._run, self._task, self._max_steps = node, run, task, max_steps
        self._episodes = node.create_publisher(Episode, topics.EPISODE, topics.LATCHED)
        self._events = node.create_publisher(EpisodeEvent, topics.EPISODE_EVENT, topics.PROTOCOL)
        self._verdicts = node.create_publisher(StepVerdict, topics.STEP_VERDICT, topics.PROTOCOL)

    def episode(self, shown: ev.ShowEpisode, stamp: Time | None) -> None:
        message = Episode(
            run=self._run,
            episode=shown.episode,
            state=int(shown.state),
            task=self._task.name,
            instruction=self._task.instruction,
            seed=shown.seed,
            step=shown.step,
            max_steps=self._max_steps,
            completed=len(shown.outcomes),
            episodes=shown.episodes,
            outcomes=[int(outcome) for outcome in shown.outcomes],
            reason=shown.reason,
        )
        message.header.stamp = stamp or self._now()
        self._episodes.publish(message)

    def verdict(self, given: ev.GiveVerdict, stamp: Time | None) -> None:
        message = StepVerdict(
            key=StepKey(run=self._run, episode=given.episode, step=given.step),
            verdict=int(given.verdict),
            subgoal=given.subgoal,
            amendment=given.amendment,
            source=given.source,
            reason=given.reason,
        )
        message.header.stamp = stamp or self._now()
        self._verdicts.publish(message)

    def event(
        self, name: str, episode: int, step: int, source: str, accepted: bool, detail: str, stamp: Time | None
    ) -> None:
        key = StepKey(run=self._run, episode=episode, step=step)
        message = EpisodeEvent(key=key, event=name, source=source, accepted=accepted, detail=detail)
        message.header.stamp = stamp or self._now()
        self._events.publish(message)

    def _now(self) -> Time:
        return self._node.get_clock().now().to_msg()
