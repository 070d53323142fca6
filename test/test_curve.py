"""The learning curve."""

import json
import subprocess
import sys

import pytest

from sarl_ros.analysis.curve import running_mean


def test_the_curve_is_the_mean_of_the_last_values():
    assert running_mean([0, 1, 1, 1], window=2) == pytest.approx([0, 0.5, 1, 1])
    assert running_mean([], window=2) == []


@pytest.mark.slow
def test_a_curve_is_drawn_from_a_run_folder_even_without_a_completed_episode(tmp_path):
    row = {"outcome": "ABORTED", "recall": None}
    for rows in ([row], [row, {"outcome": "SUCCESS", "recall": 1.0}, {"outcome": "TIMEOUT", "recall": None}]):
        (tmp_path / "episodes.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
        subprocess.run([sys.executable, "-m", "sarl_ros.analysis.curve", str(tmp_path)], check=True, timeout=120)
        assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
