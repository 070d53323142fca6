"""Every node that the console listens to or calls, in one process, with a small state machine of its own.

`python robot_graph.py [--raw] [--steering] [--fault] [--episodes N]`; prints a line for every call that it gets.
"""

from __future__ import annotations

import argparse
import math
import random
import sys

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from sarl_interfaces.msg import (
    ArmState,
    Buttons,
    Candidate,
    Episode,
    EpisodeEvent,
    LearnerStatus,
    NodeStatus,
    Prompt,
    Proposal,
    StepKey,
    StepResult,
)
from sarl_interfaces.srv import Press, Steer
from sarl_ros.ros import convert, topics

RUN = "20261121-0900-hammer-sarl-s0"
NODES = ["sim_world", "arm_bridge", "vla_executor", "prompt_proposer", "operator", "sarl_learner", "recorder"]
PROMPTS = [
    "pick up the hammer.",
    "move the gripper over the hammer.",
    "push the nail with the hammer.",
    "lift the hammer off the table.",
    "turn the hammer so that its head points to the nail.",
    "put the hammer down.",
]
CONTROL_STEPS, STEP_S = 24, 3.0
ARMED = {
    Episode.IDLE: ["start"],
    Episode.RESETTING: ["reset_done"],
    Episode.READY: ["start"],
    Episode.RUNNING: ["success", "failure", "subgoal", "abort"],
    Episode.HELD: ["clear"],
}
NAMES = ["IDLE", "RESETTING", "READY", "RUNNING", "SUCCESS", "FAILURE", "TIMEOUT", "ABORTED", "HELD", "FINISHED"]
BUTTONS = ["start", "success", "failure", "subgoal", "reset_done", "abort", "hold", "clear"]


class RobotGraph(Node):
    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__("robot_graph")
        self.options = options
        self.state, self.episode, self.step, self.reason = Episode.IDLE, 0, 0, ""
        chance = random.Random(3)
        self.outcomes = [
            Episode.SUCCESS if chance.random() < index / options.episodes else chance.choice([5, 6])
            for index in range(options.episodes)
        ]
        self.steering, self.awaits = options.steering, False
        self.control_steps, self.seq, self.held_arm = 0, 0, False
        publisher = self.create_publisher
        self.episodes = publisher(Episode, topics.EPISODE, topics.LATCHED)
        self.buttons = publisher(Buttons, topics.BUTTONS, topics.LATCHED)
        self.learner = publisher(LearnerStatus, topics.LEARNER_STATUS, topics.LATCHED)
        self.prompts = publisher(Prompt, topics.PROMPT, topics.PROTOCOL)
        self.proposals = publisher(Proposal, topics.PROPOSAL, topics.PROTOCOL)
        self.results = publisher(StepResult, topics.STEP_RESULT, topics.PROTOCOL)
        self.events = publisher(EpisodeEvent, topics.EPISODE_EVENT, topics.PROTOCOL)
        self.arm = publisher(ArmState, topics.ARM_STATE, topics.STREAM)
        self.statuses = publisher(NodeStatus, topics.NODE_STATUS, topics.STREAM)
        suffix, kind = ("", Image) if options.raw else ("/compressed", CompressedImage)
        self.images = {
            name: publisher(kind, topics.camera_image(name) + suffix, topics.IMAGE) for name in ("front", "wrist")
        }
        self.create_service(Press, topics.PRESS, self.on_press)
        self.create_service(Steer, topics.STEER, self.on_steer)
        self.create_service(Trigger, topics.ARM_STOP, self.on_stop)
        self.create_timer(0.2, self.beat)
        self.create_timer(1 / 15, self.film)
        self.create_timer(STEP_S / CONTROL_STEPS, self.control)
        if options.running:
            self.episode, self.state = options.episodes, Episode.RUNNING
            self.publish("started by console")
            self.decide()
        else:
            self.publish("")

    # What the other nodes would do.

    def publish(self, reason: str) -> None:
        self.reason = reason
        message = Episode(
            run=RUN,
            episode=self.episode,
            state=self.state,
            task="hammer",
            instruction="Drive the nail in with the hammer",
            seed=1000 + self.episode,
            step=max(0, self.step - 1),
            max_steps=8,
            completed=len(self.outcomes),
            episodes=100,
            outcomes=self.outcomes,
            reason=reason,
        )
        self.episodes.publish(message)
        armed = [*ARMED.get(self.state, []), "hold"]
        message = Buttons(run=RUN, name=BUTTONS, armed=[name in armed for name in BUTTONS])
        state = NAMES[self.state]
        message.why = ["" if name in armed else f"{name} is not possible in {state}: not now" for name in BUTTONS]
        self.buttons.publish(message)

    def event(self, name: str, source: str, accepted: bool, detail: str) -> None:
        key = StepKey(run=RUN, episode=self.episode, step=self.step)
        message = EpisodeEvent(key=key, event=name, source=source, accepted=accepted, detail=detail)
        message.header.stamp = self.get_clock().now().to_msg()
        self.events.publish(message)

    def candidates(self) -> list[Candidate]:
        chance = random.Random(self.episode * 100 + self.step)
        values = [chance.uniform(0.2, 0.9) for _ in PROMPTS]
        weights = [math.exp(value / 0.15) for value in values]
        return [
            Candidate(
                prompt=prompt,
                pool_index=index,
                q_mean=value,
                q_std=chance.uniform(0.02, 0.12),
                probability=weight / sum(weights),
            )
            for index, (prompt, value, weight) in enumerate(zip(PROMPTS, values, weights, strict=True))
        ]

    def decide(self) -> None:
        """The next decision: the agent's, or one that a person is asked for."""
        key = StepKey(run=RUN, episode=self.episode, step=self.step)
        self.awaits = self.steering
        self.proposals.publish(Proposal(key=key, candidates=self.candidates(), awaits_person=self.awaits))
        if not self.awaits:
            rows = self.candidates()
            best = max(range(len(rows)), key=lambda index: rows[index].probability)
            self.tell(rows[best].prompt, rows, best)

    def tell(self, prompt: str, rows: list[Candidate], chosen: int) -> None:
        self.step, self.awaits, self.control_steps = self.step + 1, False, 0
        message = Prompt(key=StepKey(run=RUN, episode=self.episode, step=self.step), prompt=prompt, candidates=rows)
        message.chosen, message.control_steps, message.agent = chosen, CONTROL_STEPS, "sarl"
        message.demonstration = self.steering
        self.prompts.publish(message)
        self.publish(self.reason)

    def control(self) -> None:
        running = self.state == Episode.RUNNING and not self.awaits and not self.held_arm
        self.seq += running
        mode = ArmState.HOLD if self.held_arm else ArmState.MOVING if running else ArmState.IDLE
        self.arm.publish(ArmState(seq=self.seq, mode=mode, accepted=True))
        if not running:
            return
        self.control_steps += 1
        if self.control_steps >= CONTROL_STEPS:
            self.results.publish(
                StepResult(key=StepKey(run=RUN, episode=self.episode, step=self.step), ended=StepResult.COMPLETED)
            )
            self.event("verdict", "auto", True, "continue")
            self.decide()

    def beat(self) -> None:
        for name in NODES:
            status = NodeStatus(node=name, incarnation="first", ready=True)
            if self.options.fault and name == "arm_bridge":
                status.faults = ["motor 4 (elbow) reports overload: switch its power off and on, then clear"]
            self.statuses.publish(status)
        message = LearnerStatus(run=RUN, transitions=312, updates_done=1440, updates_owed=20, temperature=0.034)
        message.recall, message.pool_size, message.pool_capacity = 0.82, 18, 32
        message.steering, message.critic_loss = self.steering, 0.01
        self.learner.publish(message)

    def film(self) -> None:
        self.seq_film = getattr(self, "seq_film", 0) + 1
        for name, publisher in self.images.items():
            pixels = np.full((240, 320, 3), 60 if name == "front" else 90, np.uint8)
            angle = self.seq_film / 15
            centre = (int(160 + 70 * math.cos(angle)), int(120 + 50 * math.sin(angle)))
            cv2.rectangle(pixels, (0, 170), (319, 239), (140, 110, 80), -1)
            cv2.circle(pixels, centre, 22, (70, 150, 230) if name == "front" else (230, 150, 70), -1)
            stamp = self.get_clock().now().nanoseconds
            make = convert.image_to if self.options.raw else convert.jpeg_to
            publisher.publish(make(pixels, stamp, name))

    # What the console calls.

    def on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        print("stop", flush=True)
        self.held_arm = True
        response.success, response.message = True, "on hold until /arm/clear"
        return response

    def on_press(self, request: Press.Request, response: Press.Response) -> Press.Response:
        print(f"press {request.button} {request.source}", flush=True)
        accepted = request.button == "hold" or request.button in ARMED.get(self.state, [])
        response.accepted = accepted
        state = NAMES[self.state]
        response.detail = self.carry_out(request.button) if accepted else f"not possible in {state}"
        self.event(request.button, request.source, accepted, response.detail)
        return response

    def carry_out(self, button: str) -> str:
        match button:
            case "hold":
                self.state, self.held_arm = Episode.HELD, True
                self.publish("held by a person: clear when it is safe")
                return "the arm holds"
            case "start" if self.state == Episode.READY:
                self.state = Episode.RUNNING
                self.publish("started by console")
                self.decide()
                return f"episode {self.episode} runs"
            case "reset_done":
                self.state = Episode.READY
                self.publish(f"episode {self.episode} can start")
                return self.reason
            case "subgoal":
                return f"subgoal noted for step {self.step}"
            case "success" | "failure":
                self.outcomes.append(Episode.SUCCESS if button == "success" else Episode.FAILURE)
        self.held_arm = self.awaits = False
        self.state, self.episode, self.step = Episode.RESETTING, self.episode + 1, 0
        self.publish("waiting for reset_done: put the objects back and press it")
        return f"resetting for episode {self.episode}"

    def on_steer(self, request: Steer.Request, response: Steer.Response) -> Steer.Response:
        key = request.key
        print(f"steer {request.take_over} {key.episode} {key.step} {request.prompt}", flush=True)
        if request.prompt:
            response.accepted = self.awaits and (key.episode, key.step) == (self.episode, self.step + 1)
            if response.accepted:
                self.tell(request.prompt, self.candidates(), 0)
            response.detail = f"step {self.step} runs your prompt" if response.accepted else "no decision waits for it"
            return response
        self.steering, response.accepted = request.take_over, True
        response.detail = "you choose from the next decision on" if request.take_over else "the agent goes on"
        if self.awaits and not request.take_over:
            self.decide()
        return response


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--steering", action="store_true")
    parser.add_argument("--fault", action="store_true")
    parser.add_argument("--running", action="store_true")
    parser.add_argument("--episodes", type=int, default=40)
    options = parser.parse_args()
    rclpy.init(args=[])
    node = RobotGraph(options)
    print("up", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        sys.exit(0)


if __name__ == "__main__":
    main()
