"""Presets whose values do not fit each other are refused."""

import pytest
import yaml

from sarl_ros.core.paths import config_dir
from sarl_ros.methods.preset import PresetError, parse_preset

FILES = sorted((config_dir() / "agents").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_pool_smaller_than_a_decisions_candidates_is_refused_in_one_line(file):
    values = yaml.safe_load(file.read_text())
    count = values["candidates"]
    assert parse_preset(yaml.safe_dump(values | {"pool_capacity": count}), "mine").pool_capacity == count
    with pytest.raises(PresetError) as refusal:
        parse_preset(yaml.safe_dump(values | {"candidates": 8, "pool_capacity": 7}), "mine")
    assert str(refusal.value) == "mine: candidates: 8 is more than pool_capacity: 7; raise it"
