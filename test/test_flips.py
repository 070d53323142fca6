"""No flipped bit and no cut in a run's records goes unnoticed."""

import importlib.util
import random
from pathlib import Path

import pytest
from played_run import play


def load_flips():
    path = Path(__file__).parents[1] / "bench" / "flips.py"
    specification = importlib.util.spec_from_file_location("flips", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_no_damage_to_a_run_is_silent(tmp_path):
    flips = load_flips()
    run = play(tmp_path / "runs" / "run").path
    rows = flips.attack(run, tmp_path, 150, 50, random.Random(0))
    assert [row for row in rows if row["outcome"] in ("SILENT", "TRACEBACK")] == []
    assert {row["kind"] for row in rows} == {"configuration", "journal", "rows", "store", "checkpoint"}
    assert {"error", "put right with a word"} <= {row["outcome"] for row in rows}
