"""The vla_executor with the policy "still", whose plan never returns for the prompt "hang."."""

import threading

from sarl_ros.nodes.vla_executor import node
from sarl_ros.policies.still import StillPolicy


class HangingPolicy(StillPolicy):
    def plan(self, observation, prompt, **drawn):
        if prompt == "hang.":
            threading.Event().wait()
        return super().plan(observation, prompt, **drawn)


if __name__ == "__main__":
    node.load_policy = lambda _: HangingPolicy()
    node.main()
