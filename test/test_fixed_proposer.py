"""Prompts that a person wrote in a file, as a proposer."""

from __future__ import annotations

import numpy as np
import pytest

from sarl_ros.core.proposal import PromptRequest
from sarl_ros.core.types import Observation
from sarl_ros.proposers.proposer import ProposerError
from sarl_ros.proposers.registry import check_proposer, load_proposer

PROMPTS = """# what this arm is asked
Grasp the cup
put it on the shelf.

grasp the cup.
reset to home
"""


@pytest.fixture
def name(tmp_path):
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    return f"fixed:{tmp_path / 'prompts.txt'}"


def request(**changes) -> PromptRequest:
    blank = np.zeros((2, 2, 3), np.uint8)
    return PromptRequest("clear the table", Observation(blank, blank, np.zeros(8, np.float32)), **changes)


def test_it_offers_the_lines_of_its_file_normalised_and_once(name):
    check_proposer(name)
    proposal = load_proposer(name).propose(request())
    assert proposal.prompts == ("grasp the cup.", "put it on the shelf.", "reset to home.")
    assert sum(proposal.priors) == pytest.approx(1.0)


def test_it_offers_no_more_than_is_wanted_and_of_a_frozen_pool_only_its_own(name):
    proposer = load_proposer(name)
    assert proposer.propose(request(count=1)).prompts == ("grasp the cup.",)
    pool = ("reset to home.", "something else.")
    assert proposer.propose(request(pool=pool, pool_frozen=True)).prompts == ("reset to home.",)
    with pytest.raises(ProposerError, match="frozen pool"):
        proposer.propose(request(pool=pool[1:], pool_frozen=True))


@pytest.mark.parametrize(
    ("text", "said"), [("", "no prompts"), ("# only words\n", "no prompts"), ("a\n" + "x" * 300, "line 2: .*shorten")]
)
def test_a_file_without_usable_prompts_is_one_line(tmp_path, text, said):
    (tmp_path / "prompts.txt").write_text(text)
    with pytest.raises(ProposerError, match=said):
        check_proposer(f"fixed:{tmp_path / 'prompts.txt'}")


def test_a_file_that_an_editor_of_windows_saved_is_read(tmp_path):
    (tmp_path / "prompts.txt").write_bytes("\ufeffGrasp the café\r\nlift\r\n".encode())
    proposer = load_proposer(f"fixed:{tmp_path / 'prompts.txt'}")
    assert proposer.propose(request()).prompts == ("grasp the café.", "lift.")


def test_a_file_in_another_encoding_is_named_with_the_remedy(tmp_path):
    (tmp_path / "prompts.txt").write_bytes("grasp".encode("utf-16"))
    with pytest.raises(ProposerError, match=r"prompts.txt: this file of prompts.* is UTF-16: save it as UTF-8"):
        check_proposer(f"fixed:{tmp_path / 'prompts.txt'}")


@pytest.mark.parametrize("name", ["", "oracle", "fixed:", "fixed:/nowhere", "scene:/nowhere"])
def test_what_is_no_proposer_is_refused_before_anything_is_loaded(name):
    with pytest.raises(ProposerError, match="proposer ") as error:
        check_proposer(name)
    assert "\n" not in str(error.value)
