"""The same prompts for every state, from a file that a person wrote, one a line; lines that begin with # are left out.

For an arm without a vision-language model: which of them to use where is left to the critics.
"""

from __future__ import annotations

from pathlib import Path

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.proposal import PromptRequest, Proposal
from sarl_ros.core.yaml_file import YamlError, read_text
from sarl_ros.proposers.proposer import ProposerError, check_request

MODEL = "fixed"


class FixedProposer:
    """Proposes `prompts`, which are normalised and distinct, in their order."""

    def __init__(self, prompts: tuple[str, ...]) -> None:
        self._prompts = prompts

    def propose(self, request: PromptRequest) -> Proposal:
        """See `Proposer.propose`."""
        check_request(request)
        known = [prompt for prompt in self._prompts if not request.pool_frozen or prompt in request.pool]
        if not known:
            raise ProposerError("none of the fixed prompts is in the frozen pool: use the file that the run began with")
        prompts = tuple(known[: request.count])
        return Proposal(prompts, (1.0 / len(prompts),) * len(prompts), "the same for every state", MODEL)


def check(file: str) -> None:
    """Raises ProposerError where the file holds no prompts."""
    load(file)


def load(file: str) -> FixedProposer:
    """Raises ProposerError where the file holds no prompts."""
    try:
        lines = read_text(Path(file), "file of prompts, one a line").splitlines()
    except YamlError as error:
        raise ProposerError(f"proposer fixed: {error}") from None
    prompts: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                prompts[normalise(line)] = None
            except ValueError as error:
                raise ProposerError(f"{file}: line {number}: {error}") from None
    if not prompts:
        raise ProposerError(f"{file}: no prompts: write one a line")
    return FixedProposer(tuple(prompts))
