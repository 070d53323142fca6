"""Flips bits in, and cuts, the files of a run folder, one at a time, and tells what its readers make of each.

Readers: what `sarl train --resume` and `sarl eval --run` read (configuration, journal, rows, store, checkpoints, held
against each other) and what `sarl replay` with and without `--rebuild`, `sarl analyze` and `sarl train --offline` read
(every message and the metadata of every bag). A third of the damage goes to length fields and other headers.

Reference: each is one clear line that names the file, or without effect, or put right with a word; none is silent.

    python bench/flips.py [--run RUN] [--flips 500] [--cuts 100] [--seed 0] [--json FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sarl_ros.learner.setup import LearnerError
from sarl_ros.records.compare import Contents
from sarl_ros.records.rebuild import RebuildError, rebuild_run
from sarl_ros.runs.folder import RunError, RunFolder, RunSettings, create_run
from sarl_ros.runs.resume import settle_records
from sarl_ros.store import frames
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.bag_run import read_run
from sarl_ros.store.bags import BagError, BagReader, find_bags
from sarl_ros.store.checkpoint import read_checkpoint
from sarl_ros.store.journal import read_journal
from sarl_ros.store.replay_store import read_store

CLEAR = (RunError, StoreError, LearnerError, BagError, RebuildError)
OUTCOMES = ("error", "without effect", "put right with a word", "as an earlier death", "SILENT", "TRACEBACK")
WEIGHTS = {"configuration": 2, "journal": 2, "rows": 2, "store": 3, "checkpoint": 2, "bag": 4, "bag metadata": 2}
DERIVED = "derived, never read"
ROWS_WANTED, TIME_LIMIT_S = 3, 300.0
Readings = tuple[dict[str, Any], set[str]]


def make_run(root: Path) -> Path:
    """A short run of agent sarl, interrupted in its fourth episode."""
    settings = RunSettings(task="hammer", episodes=6, agent="sarl", policy="still")
    folder = create_run(settings, root)
    folder.set("sarl_learner", "control_steps", 4)
    command = [sys.executable, "-m", "sarl_ros.cli", "train", "--resume", str(folder.path)]
    with subprocess.Popen(command) as process:
        deadline_s = time.monotonic() + TIME_LIMIT_S
        while process.poll() is None and time.monotonic() < deadline_s:
            if len(read_journal(folder.episodes)) >= ROWS_WANTED and read_journal(folder.path / "operator.jsonl")[-1][
                "event"
            ] in ("prompt", "judgement"):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    return folder.path


def kind_of(path: Path) -> str:
    """What a file of a run folder, named from there, is."""
    if path.parts[0] == "bags":
        return "bag metadata" if path.name == "metadata.yaml" else "bag"
    if path.parts[0] == "checkpoints":
        return "checkpoint"
    names = {"config.yaml": "configuration", "operator.jsonl": "journal", "episodes.jsonl": "rows"}
    return names.get(str(path), "store" if str(path) == "replay.srl" else DERIVED)


def read_records(folder: Path) -> Readings:
    """What a resume, and an evaluation, have from the folder, and what is said meanwhile."""
    run = RunFolder(folder)
    words = set(settle_records(run))
    found: dict[str, Any] = {
        "config": run.tree(),
        "journal": read_journal(folder / "operator.jsonl"),
        "rows": read_journal(folder / "episodes.jsonl"),
        "store": list(_frames(folder / "replay.srl")),
    }
    read_store(folder / "replay.srl")
    for path in sorted((folder / "checkpoints").glob("episode-*")):
        checkpoint = read_checkpoint(path)
        tensors = [(name, str(each.dtype), each.numpy().tobytes()) for name, each in sorted(checkpoint.tensors.items())]
        found[path.name] = (hashlib.sha256(repr(tensors).encode()).hexdigest(), checkpoint.facts)
    return found, words


def _frames(path: Path) -> Iterator[Any]:
    for _, records in frames.decode(path.read_bytes()):
        yield [(record.fields, zlib.crc32(record.binary)) for record in records]


def read_bags(folder: Path) -> Readings:
    """What a replay, a rebuild and an analysis have from the bags, and what is said meanwhile."""
    found: dict[str, Any] = {}
    words: set[str] = set()
    bags = find_bags([folder])
    for bag in bags:
        reader = BagReader(bag)
        words.update(f"{bag.name}: {note}" for note in reader.notes)
        words.update(["cut"] if reader.truncated else [])
        messages = [(each.topic, each.type, each.time_ns, zlib.crc32(each.data)) for each in reader.messages()]
        found[bag.name] = (reader.metadata, sorted(reader.topics.items()), messages)
    run = read_run(bags)
    words.update(gap.missing for gap in run.gaps)
    rebuilt = rebuild_run(run)
    words.update(rebuilt.missing)
    found["rebuilt"] = Contents(rebuilt.entries).digest()
    return found, words


def headers(path: Path) -> list[tuple[int, int]]:
    """Spans of a file's length fields, sums and the like; empty where it has none."""
    data = path.read_bytes()
    if path.name == "replay.srl":
        ends = [0, *(end for end, _ in frames.decode(data))]
        return [(end, end + 20) for end in ends[:-1]]
    if path.suffix == ".mcap":
        return list(_mcap_headers(data))
    if kind_of(Path(path.parent.name, path.name)) == "checkpoint":
        (length,) = struct.unpack_from("<Q", data)
        return [(0, 8), (8, 8 + length)]
    if path.suffix == ".jsonl":
        return [(data.rfind(b'"crc"', 0, at), at + 1) for at, byte in enumerate(data) if byte == 10]
    return [(0, 90)] if path.name == "config.yaml" else []


def _mcap_headers(data: bytes) -> Iterator[tuple[int, int]]:
    at = 8
    while at + 9 <= len(data) - 8:
        (length,) = struct.unpack_from("<Q", data, at + 1)
        yield at, at + 9 + min(length, 40)
        at += 9 + length


def damage(path: Path, cut: bool, rng: random.Random) -> str:
    """Flip one bit of a file, or cut it; says which."""
    data = bytearray(path.read_bytes())
    spans = headers(path) if rng.random() < 1 / 3 else []
    begin, end = rng.choice(spans) if spans else (0, len(data))
    at = rng.randrange(begin, max(begin + 1, min(end, len(data))))
    if cut:
        path.write_bytes(data[:at])
        return f"cut to {at} of {len(data)} bytes"
    bit = rng.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {at} of {len(data)}"


def judge(read: Callable[[Path], Readings], whole: Readings, folder: Path, touched: Path) -> tuple[str, str]:
    """How the readers answer, and the words they have for it."""
    name = touched.parent.name if touched.parts[0] == "bags" else touched.name
    try:
        found, words = read(folder)
    except CLEAR as error:
        clear = "\n" not in str(error) and name in str(error)
        return ("error" if clear else "TRACEBACK"), f"{type(error).__name__}: {error}"
    except Exception:
        return "TRACEBACK", traceback.format_exc()
    if new := words - whole[1]:
        return "put right with a word", "; ".join(sorted(new))
    if found == whole[0]:
        return "without effect", ""
    journal = whole[0].get("journal", [])
    if touched.name == "operator.jsonl" and found["journal"] == journal[: len(found["journal"])]:
        return "as an earlier death", "the journal ends with a whole line, and nothing knows of more"
    return "SILENT", next(key for key in whole[0] if found.get(key) != whole[0][key])


def attack(run: Path, scratch: Path, flips: int, cuts: int, rng: random.Random) -> list[dict[str, str]]:
    """Damage one file after the other of a copy of `run`, each from whole."""
    copy = scratch / run.name
    shutil.copytree(run, copy, symlinks=True)
    settle_records(RunFolder(copy))
    files: dict[str, list[Path]] = {}
    for path in sorted(path.relative_to(copy) for path in copy.rglob("*") if path.is_file() and not path.is_symlink()):
        if (copy / path).stat().st_size:
            files.setdefault(kind_of(path), []).append(path)
    kinds = sorted(files)
    weights = [WEIGHTS.get(kind, 1) for kind in kinds]
    reading = {read_records: read_records(copy)}
    if "bag" in files:
        reading[read_bags] = read_bags(copy)
    rows = []
    for number in range(flips + cuts):
        kind = rng.choices(kinds, weights)[0]
        touched = rng.choice(files[kind])
        path = copy / touched
        backup = {each: (copy / each).read_bytes() for each in {touched, *small_records(copy)}}
        what = damage(path, number >= flips, rng)
        read = read_bags if touched.parts[0] == "bags" else read_records
        outcome, words = judge(read, reading[read], copy, touched)
        rows.append({"file": str(touched), "kind": kind, "damage": what, "outcome": outcome, "words": words})
        for each, data in backup.items():
            (copy / each).write_bytes(data)
        for kept in copy.rglob("*.cut-*"):
            kept.unlink()
    return rows


def small_records(folder: Path) -> list[Path]:
    """Files that a reader may put right because of another."""
    return [path for path in (Path("episodes.jsonl"), Path("config.yaml")) if (folder / path).exists()]


def table(rows: list[dict[str, str]]) -> str:
    """How many of each, by kind of file."""
    counts = Counter((row["kind"], row["outcome"]) for row in rows)
    kinds = sorted({row["kind"] for row in rows})
    lines = [f"{'':<22}" + "".join(f"{outcome:>23}" for outcome in OUTCOMES)]
    for kind in [*kinds, "all"]:
        numbers = [
            sum(n for (of, which), n in counts.items() if which == outcome and kind in (of, "all"))
            for outcome in OUTCOMES
        ]
        lines.append(f"{kind:<22}" + "".join(f"{number:>23}" for number in numbers))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run folder, which stays as it is (default: one is made)")
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        run = options.run.resolve() if options.run else make_run(Path(scratch, "runs"))
        rows = attack(run, Path(scratch), options.flips, options.cuts, random.Random(options.seed))
    print(table(rows))
    bad = [row for row in rows if row["outcome"] in ("SILENT", "TRACEBACK")]
    for row in bad:
        print(f"{row['outcome']}: {row['file']}, {row['damage']}: {row['words']}")
    print(f"{len(rows)} in {time.monotonic() - begun_s:.0f} s; reference: none silent, no traceback")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
