"""The episode machine of a run on disk: every event is journaled before its effects are carried out."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import Any

from sarl_ros.core import episode_events as ev
from sarl_ros.core.episode import EpisodeMachine
from sarl_ros.records.checks import JOURNAL, refuse_shorter_journal, replayed
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.journal import Journal
from sarl_ros.store.replay_store import FILE_NAME, read_entries


class EpisodeJournal:
    """Opens the journal of a run folder, or begins it, and has the machine where it stood.

    Args:
        settings: what must stay the same as long as the run goes on, by name; kept with the first event.

    Attributes:
        machine: hand each event to its `handle`, then to `record`, then carry out the effects.
        repair: what was cut off as half written, in one line; empty as a rule.

    Raises:
        StoreError: the run has an operator already, the journal is damaged, knows less than the replay store, or was
            begun with other settings.
    """

    def __init__(self, run_dir: Path, run: str, config: ev.EpisodeConfig, settings: dict[str, Any]) -> None:
        self._run_dir, self._run, self._config, self._settings = run_dir, run, config, settings
        self.path = run_dir / JOURNAL
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            self._lock = open(run_dir / "operator.lock", "w")  # noqa: SIM115 - held while we live
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise StoreError(f"{run_dir} has an operator already: end it, or choose another folder") from None
        except OSError as error:
            raise StoreError(f"{run_dir}: {error.strerror}; choose another folder for the run") from None
        self._journal = Journal(self.path, self._refuse_lost_events)
        self.repair = self._journal.repair
        self.machine = self._replayed()

    def _replayed(self) -> EpisodeMachine:
        entries = self._journal.read()
        try:
            machine = EpisodeMachine.replay(self._config, [ev.event_from_json(entry) for entry in entries])
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.path}: {error}; restore the file or start a new run") from None
        recorded = entries[0].get("settings", {}) if entries else self._settings
        for name, value in self._settings.items():
            if recorded.get(name) != value:
                raise StoreError(
                    f"{self.path} was begun with {name} = {recorded.get(name)!r}, not {value!r}: "
                    "use that, or start a new run"
                )
        return machine

    def _refuse_lost_events(self, entries: list[dict[str, Any]]) -> None:
        """Half a line is cut off, and an empty journal begun, only where the replay store knows of nothing more."""
        store = self._run_dir / FILE_NAME
        if store.exists() and (not entries or not self.path.read_bytes().endswith(b"\n")):
            records, _ = read_entries(store, 0, store.stat().st_size)
            config = self._config
            machine = replayed(self.path, entries, config.max_aborts_in_a_row, config.max_resets_in_a_row)
            refuse_shorter_journal(self._run_dir, self._run, machine, records)

    def record(self, event: ev.Event, outcome: ev.Outcome) -> None:
        """Have an event that the machine has just handled on the disk.

        Raises:
            StoreError: it cannot be written: carry out nothing of it.
        """
        entry = ev.event_to_json(event) | {
            "time": round(time.time(), 3),
            "accepted": outcome.accepted,
            "detail": outcome.detail,
            "state": self.machine.state.name,
        }
        if isinstance(event, ev.Opened):
            entry["settings"] = self._settings
        self._journal.append(entry)

    def close(self) -> None:
        self._journal.close()
        self._lock.close()
