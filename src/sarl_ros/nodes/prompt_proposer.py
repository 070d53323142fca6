"""Proposes prompts when asked: one service, one call into the back-end, and an answer whatever was asked."""

from __future__ import annotations

import traceback

from sarl_interfaces.srv import ProposePrompts
from sarl_ros.core.proposal import PromptRequest
from sarl_ros.core.types import Observation
from sarl_ros.parameters.prompt_proposer import ProposerParameters
from sarl_ros.proposers.proposer import Proposer, ProposerError
from sarl_ros.proposers.registry import load_proposer
from sarl_ros.ros import convert, topics
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare


class PromptProposer(SarlNode):
    """Serves /sarl/propose_prompts. A request that cannot be answered gets the reason in `error`."""

    def __init__(self) -> None:
        super().__init__("prompt_proposer")
        try:
            self._proposer = self.load(declare(self, ProposerParameters).proposer)
        except ProposerError as error:
            raise SetupError(str(error)) from None
        self.create_service(ProposePrompts, topics.PROPOSE_PROMPTS, self._answer)
        self.ready = True

    def load(self, name: str) -> Proposer:
        import torch  # takes seconds

        torch.set_num_threads(1)
        return load_proposer(name)

    def _answer(self, request: ProposePrompts.Request, response: ProposePrompts.Response) -> ProposePrompts.Response:
        try:
            proposal = self._proposer.propose(
                PromptRequest(
                    task=request.task,
                    observation=_observation(request),
                    history=tuple(request.history),
                    pool=tuple(request.pool),
                    pool_frozen=request.pool_frozen,
                    count=request.count,
                )
            )
        except ValueError as error:
            response.error = _one_line(error)
        except Exception as error:  # an answer is owed whatever happens: without one the graph would wait for ever
            self.get_logger().error(traceback.format_exc())
            response.error = _one_line(f"proposing failed with {type(error).__name__}: {error}; see the node's log")
            self.faults["proposing"] = response.error
        else:
            response.prompts = list(proposal.prompts)
            response.priors = list(proposal.priors)
            response.rationale = proposal.rationale
            response.model = proposal.model
            self.faults.pop("proposing", None)
        return response


def _observation(request: ProposePrompts.Request) -> Observation:
    for name in ("front", "wrist"):
        if not getattr(request.observation, name).data:
            raise ProposerError(f"the request has no {name} image: send the observation of the last step result")
    return convert.observation_from(request.observation)


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def main() -> None:
    run_node(PromptProposer)


if __name__ == "__main__":
    main()
