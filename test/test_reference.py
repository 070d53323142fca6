"""The generated reference says what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_reference_is_what_the_code_says():
    command = [sys.executable, ROOT / "tools" / "make_reference.py", "--check"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
