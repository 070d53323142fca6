"""Draws inputs for hours: every test that draws its inputs (`pytest -m fuzz`), with a new seed each round.

What they claim: it works, or is one line and a code; no node ends; nothing that was recorded is lost or said falsely.
Reference: no fault. Each that is found is printed with the inputs that show it, and its round's seed.

    python bench/fuzz.py [--minutes 60] [--seed 0] [--tests test/test_what_people_write.py ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "test"
COUNT = re.compile(
    r"^(?P<test>\S+::\S+):$|(?P<valid>\d+) passing.* (?P<failing>\d+) failing.* (?P<invalid>\d+) invalid"
)
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.M)


def round_of(seed: int, tests: list[str]) -> tuple[Counter[str], list[str], str]:
    """Inputs tried by test, the tests that failed, and what was printed."""
    command = [sys.executable, "-m", "pytest", "-m", "fuzz", "-p", "no:cacheprovider", *tests]
    command += ["--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}", "--hypothesis-show-statistics"]
    answer = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True)
    tried: Counter[str] = Counter()
    test = ""
    for line in answer.stdout.splitlines():
        if found := COUNT.search(line):
            test = found["test"] or test
            if found["valid"]:
                tried[test] += int(found["valid"]) + int(found["failing"])
    return tried, FAILED.findall(answer.stdout), answer.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--tests", nargs="+", default=[str(TESTS)])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    begun_s, tried, faults = time.monotonic(), Counter[str](), list[dict[str, Any]]()
    seed = options.seed
    while True:
        counted, failed, said = round_of(seed, options.tests)
        tried += counted
        faults += [{"test": test, "seed": seed} for test in failed]
        if failed or not counted:
            print(said)
        spent_s = time.monotonic() - begun_s
        left_s = max(0.0, 60 * options.minutes - spent_s)
        print(
            f"round of seed {seed}: {tried.total()} inputs of {len(tried)} tests so far, {len(faults)} faults |"
            f" ETA {int(left_s) // 60}:{int(left_s) % 60:02}",
            flush=True,
        )
        seed += 1
        if not left_s or not counted:
            break
    if options.json:
        figures = {"minutes": round((time.monotonic() - begun_s) / 60, 1), "inputs": dict(tried), "faults": faults}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(1 if faults or not tried else 0)


if __name__ == "__main__":
    main()
