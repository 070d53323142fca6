"""What the store of a run begins with: a note that names the run, then demonstrations or an earlier run's transitions.

It follows from the learner's parameters alone, so that a store can be made again as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sarl_ros.core.prompt_pool import PromptPool
from sarl_ros.methods.registry import learns
from sarl_ros.records.demonstrations import into_pool, load_demonstrations
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.replay_store import FILE_NAME, FORMAT, POOL, RUN_NOTE, Entry, NoteRecord, read_store

OFFLINE_NOTE = "offline"
BEGUN_WITH = "begun_with_sha256"  # metadata key of a bag: hash of the file that the run began with


@dataclass(frozen=True, slots=True)
class Opening:
    """See the module; the fields are parameters of the learner.

    Attributes:
        warm_start: folder of what was learned offline, empty for none; demonstrations are then those that it has.
    """

    run: str
    task: str
    agent: str = "sarl"
    evaluate: bool = False
    demos: str = ""
    demo_count: int = 0
    weights_hash: str = ""
    warm_start: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, Any], run: str) -> Opening:
        """From the learner's section of a run's parameter file."""
        names = ("task", "agent", "evaluate", "demos", "demo_count", "weights_hash", "warm_start")
        return cls(run, **{name: parameters[name] for name in names if name in parameters})

    @property
    def learns(self) -> bool:
        return learns(self.agent) and not self.evaluate

    @property
    def file(self) -> Path | None:
        """What the entries are read from; None where the run begins with nothing."""
        if self.learns and self.warm_start:
            return Path(self.warm_start) / FILE_NAME
        return Path(self.demos) if self.learns and self.demo_count else None

    def digest(self) -> str:
        """SHA-256 of that file, empty where there is none."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest() if self.file and self.file.is_file() else ""

    def entries(self, pool_capacity: int) -> list[Entry]:
        """The first entries of the run's store.

        Raises:
            StoreError: the demonstrations, or what was learned offline, are missing or of another task or weights.
        """
        note = NoteRecord(RUN_NOTE, {"format": FORMAT, "run": self.run, "task": self.task, "agent": self.agent})
        if self.learns and self.warm_start:
            return [note, *self._learned_offline(pool_capacity)]
        if not (self.learns and self.demo_count):
            return [note]
        episodes = load_demonstrations(
            Path(self.demos), self.demo_count, task=self.task, weights_hash=self.weights_hash
        )
        return [note, *into_pool(episodes, PromptPool(pool_capacity))]

    def _learned_offline(self, pool_capacity: int) -> list[Entry]:
        folder = Path(self.warm_start)
        entries = read_offline(folder)
        fields = entries[0].fields if isinstance(entries[0], NoteRecord) else {}
        for what, given, own in (
            ("task", fields["task"], self.task),
            ("agent", fields.get("agent", "sarl"), self.agent),  # once there was no other
            ("policy weights", fields["weights_hash"][:12], self.weights_hash[:12]),
        ):
            if own and given != own:
                raise StoreError(f"{folder}: learned with {what} {given}, not {own}: name another folder")
        prompts = [each.fields["prompts"] for each in entries if isinstance(each, NoteRecord) and each.kind == POOL]
        if sum(map(len, prompts)) > pool_capacity:
            raise StoreError(f"{folder}: has more prompts than the pool of {pool_capacity}: use the preset it is from")
        return entries


def read_offline(folder: Path) -> list[Entry]:
    """The store that offline training left in a folder; its first entry is the note that says of what it is.

    Raises:
        StoreError: there is none.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise StoreError(f"{folder}: no {FILE_NAME} in it: name a folder that `sarl train --offline` made")
    entries = read_store(path)
    if not entries or not isinstance(entries[0], NoteRecord) or entries[0].kind != OFFLINE_NOTE:
        raise StoreError(f"{folder}: not learned offline: name a folder that `sarl train --offline` made")
    return entries
