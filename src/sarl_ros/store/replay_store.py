"""The durable replay store of a run: every decision and every transition, in the order they happened.

A decision is here before its prompt is published, a transition before the next decision; so whatever is killed,
reading this file again gives the learner's whole state. Images are kept as the critics see them, 64x64.
"""

from __future__ import annotations

import base64
import fcntl
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarl_ros.core.types import Candidate, Decision, Observation, StepKey, Verdict
from sarl_ros.store import frames
from sarl_ros.store.appendfile import AppendFile, StoreError, replace_file, write_error
from sarl_ros.store.frames import Record
from sarl_ros.store.images import critic_image, decode_png, encode_png

FILE_NAME = "replay.srl"
FORMAT = 1
POOL = "pool"
RUN_NOTE = "run"
RESTORED = "restored"
NOT_IN_BAGS = "prompt of row {row}, which the bags do not have."


@dataclass(frozen=True, slots=True, eq=False)
class StoredObservation:
    """What critics see of an observation: image uint8 (64, 64, 3) RGB, proprio float32 (8,)."""

    image: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    stamp_ns: int

    @classmethod
    def of(cls, observation: Observation) -> StoredObservation:
        return cls(critic_image(observation.front), observation.proprio, observation.stamp_ns)


@dataclass(frozen=True, slots=True, eq=False)
class DecisionRecord:
    """A decision and what it saw.

    Attributes:
        suitable_offered: whether ground truth found a suitable prompt among the candidates; None where unknown.
    """

    decision: Decision
    observation: StoredObservation
    suitable_offered: bool | None = None

    @property
    def key(self) -> StepKey:
        return self.decision.key


@dataclass(frozen=True, slots=True, eq=False)
class TransitionRecord:
    """What the decision of the same key led to.

    Attributes:
        observation: at the end of the step.
        candidates: A_{t+1}, offered in that state; empty after success.
        done: true after success only.
        amendment: replaces the earlier record of this key.
        chunk_records: what the chunk actor did inside the step, in its own form.
    """

    key: StepKey
    verdict: Verdict
    reward: float
    done: bool
    observation: StoredObservation
    candidates: tuple[Candidate, ...]
    amendment: bool = False
    chunk_records: bytes = b""


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """A fact about the run as a whole.

    `pool` has the prompts that take the next free rows of the pool, so that rows mean the same after a restart;
    `run` opens the store of a run; `restored` ends what bags gave that lack some of it.
    """

    kind: str
    fields: Mapping[str, Any]


Entry = DecisionRecord | TransitionRecord | NoteRecord


class ReplayStore:
    """The store of a run folder, held by one process at a time.

    Args:
        check: called with the whole records before a torn tail is cut off; raises StoreError if there were more.

    Attributes:
        entries: all records so far.
        repair: what opening cut off, in one line; empty as a rule.

    Raises:
        StoreError: another learner holds it, it is damaged, or it cannot be opened.
    """

    def __init__(self, folder: Path | str, check: Callable[[list[Entry]], None] | None = None) -> None:
        self.path = Path(folder) / FILE_NAME
        self._file = AppendFile(self.path)
        self._lock = self._hold()
        data = self._file.read_all()
        try:
            self.entries, end = _parse(self.path, data, 0)
            if check is not None:
                check(self.entries)
            self.repair = self._file.cut(end) if end < len(data) else ""
        except StoreError:
            self.close()
            raise

    def _hold(self) -> int:
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            self._file.close()
            raise StoreError(
                f"{self.path.parent} is in use by another learner: end that one, or choose another run folder"
            ) from error
        return descriptor

    @property
    def size(self) -> int:
        """Bytes that hold whole frames: the offset up to which another process may read."""
        return self._file.size

    def append(self, *entries: Entry) -> None:
        """Store records, all or none, and wait until the disk has them.

        Raises:
            StoreError: they could not be written; earlier records are untouched.
        """
        self._file.append(frames.encode([to_record(entry) for entry in entries]))
        self.entries.extend(entries)

    def close(self) -> None:
        self._file.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> ReplayStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_of(entries: Sequence[Entry]) -> str:
    """Name of the run whose store begins with these records; empty if they begin with another's."""
    first = entries[0] if entries else None
    return str(first.fields.get("run", "")) if isinstance(first, NoteRecord) and first.kind == RUN_NOTE else ""


def lacks_some(entries: Iterable[Entry]) -> bool:
    """Whether a store was made again from bags that lack some of the run, so that others rightly know of more."""
    return any(isinstance(entry, NoteRecord) and entry.kind == RESTORED for entry in entries)


def read_entries(path: Path, start: int, end: int) -> tuple[list[Entry], int]:
    """Records between two offsets of a store, without holding it, and the offset after the last whole frame.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}): restore it, or begin a new run") from error
    entries, offset = _parse(path, data, 0)
    return entries, start + offset


def read_store(path: Path) -> list[Entry]:
    """All records of a store, or of a file like it, without holding it.

    Raises:
        StoreError: the file is missing or damaged, or its end is no whole record.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}): restore it, or begin a new run") from error
    entries, end = read_entries(path, 0, size)
    if end < size:
        raise StoreError(
            f"{path}: its last {size - end} bytes are no whole record: restore it from a copy, or, if it is of a run"
            " that was cut off, go on with that (`sarl train --resume`), which keeps them beside"
        )
    return entries


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Write a whole store at once: the file appears with all records, or not at all.

    Raises:
        StoreError: it cannot be written; a file of that name is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, (frames.encode([to_record(entry)]) for entry in entries))
    except OSError as error:
        raise write_error(path, error) from error


def _parse(path: Path, data: bytes, start: int) -> tuple[list[Entry], int]:
    entries: list[Entry] = []
    offset = start
    try:
        for end, records in frames.decode(data, start):
            offset = end
            entries += [_from_record(record) for record in records]
    except frames.FrameError as error:
        raise StoreError(
            f"{path} is {error}, and whole records follow: restore it from a copy, or move it away and make it again"
            " from the bags with `sarl replay --rebuild RUN --restore`"
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise StoreError(
            f"{path} holds a record this version cannot read ({error}): use the one that wrote it"
        ) from error
    return entries, offset


def to_record(entry: Entry) -> Record:
    if isinstance(entry, NoteRecord):
        return Record({"type": "note", "kind": entry.kind, "fields": dict(entry.fields)})
    observation = entry.observation
    fields: dict[str, Any] = {
        "key": [entry.key.run, entry.key.episode, entry.key.step],
        "proprio": [float(value) for value in observation.proprio],
        "stamp_ns": observation.stamp_ns,
    }
    if isinstance(entry, DecisionRecord):
        decision = entry.decision
        fields |= {
            "type": "decision",
            "candidates": [_candidate_to(candidate) for candidate in decision.candidates],
            "chosen": decision.chosen,
            "agent": decision.agent,
            "demonstration": decision.demonstration,
            "suitable_offered": entry.suitable_offered,
        }
        if decision.chunk_actor:
            fields["chunk_actor"] = [decision.chunk_actor, decision.chunk_actor_state]
    else:
        fields |= {
            "type": "transition",
            "verdict": entry.verdict.name,
            "reward": entry.reward,
            "done": entry.done,
            "candidates": [_candidate_to(candidate) for candidate in entry.candidates],
            "amendment": entry.amendment,
        }
        if entry.chunk_records:
            fields["chunk_records"] = base64.b64encode(entry.chunk_records).decode()
    return Record(fields, encode_png(observation.image))


def _from_record(record: Record) -> Entry:
    fields = record.fields
    if fields["type"] == "note":
        return NoteRecord(fields["kind"], fields["fields"])
    key = StepKey(*fields["key"])
    proprio = np.asarray(fields["proprio"], np.float32)
    observation = StoredObservation(decode_png(record.binary), proprio, fields["stamp_ns"])
    candidates = tuple(_candidate_from(values) for values in fields["candidates"])
    if fields["type"] == "decision":
        actor = fields.get("chunk_actor", ("", ""))
        decision = Decision(key, candidates, fields["chosen"], fields["agent"], fields["demonstration"], *actor)
        return DecisionRecord(decision, observation, fields["suitable_offered"])
    if fields["type"] != "transition":
        raise ValueError(f"type {fields['type']}")
    verdict = Verdict[fields["verdict"]]
    records = base64.b64decode(fields.get("chunk_records", ""), validate=True)
    return TransitionRecord(
        key, verdict, fields["reward"], fields["done"], observation, candidates, fields["amendment"], records
    )


def _candidate_to(candidate: Candidate) -> list[Any]:
    numbers = (candidate.q_mean, candidate.q_std, candidate.probability, candidate.prior)
    return [candidate.prompt, candidate.pool_index, *(None if math.isnan(number) else number for number in numbers)]


def _candidate_from(values: Sequence[Any]) -> Candidate:
    prompt, pool_index, *numbers = values
    return Candidate(prompt, pool_index, *(math.nan if number is None else number for number in numbers))
