"""The prompt_proposer as shipped, but for its perception: a table known beforehand, and a fault when told."""

from dataclasses import dataclass

import numpy as np

from sarl_ros.nodes.prompt_proposer import PromptProposer
from sarl_ros.proposers.scene.proposer import SceneProposer
from sarl_ros.ros.node import run_node


@dataclass(frozen=True)
class Found:
    name: str
    position: np.ndarray
    confidence: float = 1.0


class FakeEyes:
    def detect(self, front, wrist, proprio):
        assert front.shape == (480, 640, 3)
        assert wrist.shape == (240, 320, 3)
        if front.mean() > 200:
            raise RuntimeError("dazzled")
        places = {"hammer": (0.30, 0.0, 0.01), "mushroom": (0.25, -0.13, 0.02), "plate": (0.38, -0.10, 0.0)}
        return [Found(name, np.array(place)) for name, place in places.items()]


class ProposerWithFakeEyes(PromptProposer):
    def load(self, name):
        return SceneProposer(FakeEyes())


if __name__ == "__main__":
    run_node(ProposerWithFakeEyes)
