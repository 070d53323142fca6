"""The instruction pool and the one form that prompts have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarl_ros.core.prompt_pool import PromptPool, normalise


@pytest.mark.parametrize("written", ["Grasp the  mushroom", " grasp the mushroom. ", "GRASP THE MUSHROOM...\n"])
def test_a_prompt_written_in_many_ways_has_one_form(written):
    assert normalise(written) == "grasp the mushroom."


@pytest.mark.parametrize("written", ["Öffne das Café", "O\u0308ffne das Cafe\u0301.", "ÖFFNE  DAS CAFÉ!"])
def test_letters_with_accents_are_the_same_however_they_are_composed(written):
    assert normalise(written) == "öffne das café."


@pytest.mark.parametrize("bad", ["", "   ", ".", "?!", "a" * 200, "a" * 10_000, "grasp\x00it", "grasp\nthe lid"])
def test_a_prompt_that_is_no_prompt_is_refused_in_one_short_line(bad):
    with pytest.raises(ValueError, match="prompt") as error:
        normalise(bad)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@given(st.text(max_size=80))
def test_normalising_twice_changes_nothing(text):
    try:
        once = normalise(text)
    except ValueError:
        return
    assert normalise(once) == once
    assert once.endswith(".")
    assert "  " not in once


def test_the_pool_fills_first_come_and_then_freezes():
    pool = PromptPool(2)
    assert pool.add("lift") == 0
    assert not pool.frozen
    assert pool.add("Open the gripper") == 1
    assert pool.frozen
    assert pool.add("close the gripper") is None
    assert pool.add("LIFT.") == 0
    assert pool.prompts == ("lift.", "open the gripper.")
    assert "close the gripper" not in pool
    with pytest.raises(KeyError, match="add it first"):
        pool.index("close the gripper")


@given(st.lists(st.sampled_from("abcdefgh"), max_size=30), st.integers(1, 6))
def test_a_row_never_changes_its_prompt(words, capacity):
    pool, rows = PromptPool(capacity), {}
    for word in words:
        row = pool.add(word)
        if row is not None:
            assert rows.setdefault(row, normalise(word)) == normalise(word)
    assert len(pool) == min(capacity, len(set(words)))
    assert [pool.index(prompt) for prompt in pool.prompts] == list(range(len(pool)))


def test_a_pool_without_room_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        PromptPool(0)
