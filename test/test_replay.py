"""The replay store and the journal: what was written is there, whatever happened while writing."""

import errno
import os
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarl_ros.core.prompt_pool import PromptPool
from sarl_ros.core.types import Candidate, Decision, StepKey, Verdict
from sarl_ros.records.demonstrations import episodes_of, export_demonstrations, into_pool, load_demonstrations
from sarl_ros.store import frames
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.images import critic_image
from sarl_ros.store.journal import Journal, read_journal
from sarl_ros.store.replay_store import (
    POOL,
    DecisionRecord,
    NoteRecord,
    ReplayStore,
    StoredObservation,
    TransitionRecord,
    read_entries,
    read_store,
    to_record,
)


def observation(seed=0):
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return StoredObservation(image, generator.random(8, np.float32), seed)


def decision(episode=1, step=1, prompts=("open.", "close."), chosen=0, demonstration=False):
    candidates = tuple(Candidate(prompt, row, -0.5, 0.1, 0.5, 0.25) for row, prompt in enumerate(prompts))
    key = StepKey("run", episode, step)
    return DecisionRecord(Decision(key, candidates, chosen, "sarl", demonstration), observation(step), True)


def transition(episode=1, step=1, verdict=Verdict.CONTINUE, prompts=("open.", "close."), amendment=False):
    candidates = tuple(Candidate(prompt, row) for row, prompt in enumerate(prompts))
    success = verdict is Verdict.SUCCESS
    key = StepKey("run", episode, step)
    value = 0.0 if success else -0.125
    return TransitionRecord(key, verdict, value, success, observation(step + 1), candidates, amendment)


def fill(folder, steps=3):
    with ReplayStore(folder) as store:
        for step in range(1, steps + 1):
            store.append(decision(step=step))
            store.append(transition(step=step, verdict=Verdict.SUCCESS if step == steps else Verdict.CONTINUE))
        return store.path


def test_records_come_back_exactly(tmp_path):
    written = [decision(), transition(), NoteRecord(POOL, {"prompts": ["open."]})]
    with ReplayStore(tmp_path) as store:
        store.append(*written)
    with ReplayStore(tmp_path) as store:
        read = store.entries
    assert read[0].decision == written[0].decision
    assert read[0].suitable_offered is True
    assert np.array_equal(read[0].observation.image, written[0].observation.image)
    assert np.array_equal(read[0].observation.proprio, written[0].observation.proprio)
    assert read[0].observation.proprio.dtype == np.float32
    assert (read[1].key, read[1].verdict, read[1].reward, read[1].done) == (written[1].key, Verdict.CONTINUE, -0.125, 0)
    assert [each.prompt for each in read[1].candidates] == ["open.", "close."]
    assert read[2] == written[2]


def test_another_process_reads_on_from_where_it_was(tmp_path):
    path = fill(tmp_path, 2)
    size = path.stat().st_size
    first, middle = read_entries(path, 0, size // 2)
    rest, end = read_entries(path, middle, size)
    assert end == size
    assert [entry.key for entry in first + rest] == [entry.key for entry in read_entries(path, 0, size)[0]]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_torn_tail_is_cut_and_nothing_before_it_is_lost(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    path = fill(folder, 2)
    whole = path.read_bytes()
    ends = [0, *(end for end, _ in frames.decode(whole))]
    size = data.draw(st.integers(0, len(whole)))
    filling = data.draw(st.integers(0, 40)) if size in ends else 0  # blocks that the disk never wrote
    path.write_bytes(whole[:size] + bytes(filling))
    with ReplayStore(folder) as store:
        kept = max(end for end in ends if end <= size)
        assert store.size == kept
        beside = folder / f"replay.srl.cut-{kept}"
        torn = whole[kept:size] + bytes(filling)
        assert bool(store.repair) == beside.exists() == bool(torn)
        assert not torn or (beside.read_bytes() == torn and f"its last {len(torn)} bytes" in store.repair)
        assert len(store.entries) == ends.index(kept)
        store.append(decision(episode=9))
    with ReplayStore(folder) as store:
        assert store.repair == ""
        assert store.entries[-1].key.episode == 9


def test_damage_in_the_middle_is_refused_not_cut(tmp_path):
    path = fill(tmp_path)
    data = bytearray(path.read_bytes())
    data[40] ^= 255
    path.write_bytes(data)
    with pytest.raises(StoreError, match="restore it"):
        ReplayStore(tmp_path)
    assert path.read_bytes() == bytes(data)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_before_the_last_frame_is_refused_and_nothing_is_cut(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    path = fill(folder, 2)
    whole = path.read_bytes()
    ends = [0, *(end for end, _ in frames.decode(whole))]
    begin = data.draw(st.sampled_from(ends[:-2]))
    offset = begin + data.draw(st.one_of(st.integers(0, 15), st.integers(0, 400)))  # the header, or anywhere
    flipped = bytearray(whole)
    flipped[min(offset, ends[-2] - 1)] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(flipped)
    with pytest.raises(StoreError, match=r"replay.srl is damaged at byte \d+, and whole records follow") as caught:
        ReplayStore(folder)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == bytes(flipped)
    assert not list(folder.glob("*.cut-*"))


def test_damage_before_a_torn_tail_is_no_torn_tail(tmp_path):
    path = fill(tmp_path, 2)
    whole = path.read_bytes()
    ends = [0, *(end for end, _ in frames.decode(whole))]
    damaged = bytearray(whole[: ends[-1] - 7])
    damaged[ends[-3] + 100] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=f"damaged at byte {ends[-3]}"):
        ReplayStore(tmp_path)


def old_frame(*entries):
    """As versions before the second sum wrote it."""
    payload = frames.encode([to_record(entry) for entry in entries])[16:]
    return struct.pack("<4sII", b"SRL1", len(payload), zlib.crc32(payload)) + payload


def test_a_store_of_an_earlier_version_is_read_and_gone_on_with(tmp_path):
    (tmp_path / "replay.srl").write_bytes(old_frame(decision()) + old_frame(transition()))
    with ReplayStore(tmp_path) as store:
        store.append(decision(step=2))
    entries = read_store(tmp_path / "replay.srl")
    assert [(type(entry), entry.key.step) for entry in entries] == [
        (DecisionRecord, 1),
        (TransitionRecord, 1),
        (DecisionRecord, 2),
    ]
    data = bytearray((tmp_path / "replay.srl").read_bytes())
    data[6] ^= 64  # the length of the first frame now points beyond the end
    (tmp_path / "replay.srl").write_bytes(data)
    with pytest.raises(StoreError, match="damaged at byte 0, and whole records follow"):
        ReplayStore(tmp_path)


def test_a_torn_tail_that_is_kept_twice_overwrites_nothing(tmp_path):
    path = fill(tmp_path, 1)
    size = path.stat().st_size
    for tail in (b"SRL2", b"SRL"):
        with path.open("ab") as file:
            file.write(tail)
        ReplayStore(tmp_path).close()
    assert (tmp_path / f"replay.srl.cut-{size}").read_bytes() == b"SRL2"
    assert (tmp_path / f"replay.srl.cut-{size}-2").read_bytes() == b"SRL"


def test_nothing_is_cut_that_a_check_objects_to(tmp_path):
    path = fill(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:-3])
    before = path.read_bytes()

    def objects(entries):
        raise StoreError(f"{len(entries)} are too few")

    with pytest.raises(StoreError, match="3 are too few"):
        ReplayStore(tmp_path, objects)
    assert path.read_bytes() == before
    ReplayStore(tmp_path).close()


def test_a_file_that_must_be_whole_is_refused_with_a_torn_tail(tmp_path):
    path = fill(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StoreError, match="bytes are no whole record"):
        read_store(path)


def test_a_second_learner_on_the_folder_is_refused_in_one_line(tmp_path):
    with ReplayStore(tmp_path), pytest.raises(StoreError, match="in use by another learner") as caught:
        ReplayStore(tmp_path)
    assert "\n" not in str(caught.value)
    ReplayStore(tmp_path).close()


def test_a_full_disk_is_one_line_and_leaves_the_records(tmp_path, monkeypatch):
    path = fill(tmp_path)
    before = path.read_bytes()
    real = os.pwrite

    def half(descriptor, data, offset):
        if len(data) > 100:
            return real(descriptor, data[:100], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with ReplayStore(tmp_path) as store:
        monkeypatch.setattr(os, "pwrite", half)
        with pytest.raises(StoreError, match="the disk is full: free some space") as caught:
            store.append(decision(episode=2))
        monkeypatch.undo()
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == before
        store.append(decision(episode=2))
    with ReplayStore(tmp_path) as store:
        assert len(store.entries) == 7
        assert store.repair == ""


def test_a_critic_image_is_the_mean_of_the_area_it_covers():
    front = np.zeros((480, 640, 3), np.uint8)
    front[:, 320:] = (100, 200, 50)
    image = critic_image(front)
    assert image.shape == (64, 64, 3)
    assert image[0, 31].tolist() == [0, 0, 0]
    assert image[63, 32].tolist() == [100, 200, 50]
    assert np.array_equal(critic_image(image), image)


def test_a_journal_keeps_whole_lines_and_cuts_half_of_one(tmp_path):
    path = tmp_path / "deep" / "journal.jsonl"
    with Journal(path) as journal:
        journal.append({"event": "start", "n": 1})
        journal.append({"event": "stop", "list": [1, 2]})
    with path.open("ab") as file:
        file.write(b'{"event": "half')
    with Journal(path) as journal:
        assert journal.read() == [{"event": "start", "n": 1}, {"event": "stop", "list": [1, 2]}]
        assert "its last 15 bytes were never whole and are now in journal.jsonl.cut-" in journal.repair
        journal.append({"event": "on"})
    assert [entry["event"] for entry in Journal(path).read()] == ["start", "stop", "on"]


def test_a_damaged_line_of_a_journal_is_named(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"a": 1}\nnonsense\n{"b": 2}\n')
    with pytest.raises(StoreError, match="line 2 is damaged"):
        Journal(path)


def journal_of(path, *entries):
    with Journal(path) as journal:
        for entry in entries:
            journal.append(entry)
    return path


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_in_a_journal_is_refused_or_cut_with_a_word(tmp_path_factory, data):
    path = journal_of(tmp_path_factory.mktemp("run") / "j.jsonl", {"event": "a b", "n": 1}, {"event": "c", "n": 2.5})
    whole = path.read_bytes()
    offset, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(whole)
    flipped[offset] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        with Journal(path) as journal:
            kept, why = journal.read(), ""
    except StoreError as error:
        kept, why = [], str(error)
    if why:
        assert re.fullmatch(r".*j.jsonl: line \d is damaged: restore it from a copy, or begin a new run", why)
        assert path.read_bytes() == bytes(flipped)
    else:
        assert kept == [{"event": "a b", "n": 1}]
        assert path.read_bytes() + next(path.parent.glob("j.jsonl.cut-*")).read_bytes() == bytes(flipped)


def test_zeros_that_the_disk_left_in_the_last_line_are_a_torn_tail(tmp_path):
    path = journal_of(tmp_path / "j.jsonl", {"event": "a"}, {"event": "b", "text": "x" * 60})
    data = bytearray(path.read_bytes())
    data[40:60] = bytes(20)
    path.write_bytes(data)
    assert read_journal(path) == [{"event": "a"}]
    with Journal(path) as journal:
        assert journal.read() == [{"event": "a"}]
        assert journal.repair


def test_a_journal_of_an_earlier_version_is_read_and_gone_on_with_as_it_was(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_text('{"event": "a"}\n')
    journal_of(path, {"event": "b"})
    assert path.read_text() == '{"event": "a"}\n{"event": "b"}\n'
    assert read_journal(path) == [{"event": "a"}, {"event": "b"}]


def test_a_line_that_lost_its_sum_is_damage_where_the_others_have_one(tmp_path):
    path = journal_of(tmp_path / "j.jsonl", {"event": "a"}, {"event": "b"})
    lines = path.read_text().splitlines()
    path.write_text('{"event": "a"}\n' + lines[1] + "\n")
    with pytest.raises(StoreError, match="line 1 is damaged"):
        Journal(path)


def demonstration_run(folder, episodes=3, prompts=("grasp it.", "lift it.", "rest.")):
    with ReplayStore(folder) as store:
        for episode in range(1, episodes + 1):
            verdict = Verdict.TIMEOUT if episode == 2 else Verdict.SUCCESS
            store.append(decision(episode, 1, prompts, 0, True), transition(episode, 1, prompts=prompts))
            store.append(decision(episode, 2, prompts, 1, True), transition(episode, 2, verdict, prompts))


def test_successful_episodes_are_exported_and_loaded_as_demonstrations(tmp_path):
    demonstration_run(tmp_path / "run")
    output = tmp_path / "demos" / "task.demos"
    assert export_demonstrations(tmp_path / "run", output, task="hammer", weights_hash="abc") == 2
    episodes = load_demonstrations(output, 2, task="hammer", weights_hash="abc")
    assert [[step.decision.prompt for step, _ in episode] for episode in episodes] == [["grasp it.", "lift it."]] * 2
    assert all(step.decision.demonstration for episode in episodes for step, _ in episode)
    assert [episode[-1][1].done for episode in episodes] == [True, True]


def test_demonstrations_of_other_weights_another_task_or_too_few_are_refused_in_one_line(tmp_path):
    demonstration_run(tmp_path / "run")
    output = tmp_path / "task.demos"
    export_demonstrations(tmp_path / "run", output, task="hammer", weights_hash="abc")
    for wanted, message in (
        ({"count": 2, "task": "hammer", "weights_hash": "xyz"}, "sarl steer"),
        ({"count": 2, "task": "lid", "weights_hash": "abc"}, "of task hammer, not of lid"),
        ({"count": 3, "task": "hammer", "weights_hash": "abc"}, "2 demonstrations, 3 wanted"),
    ):
        with pytest.raises(StoreError, match=message) as caught:
            load_demonstrations(output, **wanted)
        assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="not a demonstration file"):
        load_demonstrations(tmp_path / "run" / "replay.srl", 1, task="hammer", weights_hash="abc")


def test_demonstrations_that_were_cut_are_refused_though_enough_are_left(tmp_path):
    demonstration_run(tmp_path / "run")
    output = tmp_path / "task.demos"
    export_demonstrations(tmp_path / "run", output, task="hammer", weights_hash="abc")
    data = output.read_bytes()
    for end in [end for end, _ in frames.decode(data)][-4:-1]:
        output.write_bytes(data[:end])
        with pytest.raises(StoreError, match="its end is missing"):
            load_demonstrations(output, 1, task="hammer", weights_hash="abc")
    output.write_bytes(data[:-1])
    with pytest.raises(StoreError, match="no whole record"):
        load_demonstrations(output, 1, task="hammer", weights_hash="abc")


def test_a_run_without_success_exports_nothing(tmp_path):
    with ReplayStore(tmp_path / "run") as store:
        store.append(decision(), transition(verdict=Verdict.TIMEOUT))
    assert export_demonstrations(tmp_path / "run", tmp_path / "x.demos", task="t", weights_hash="") == 0
    assert not (tmp_path / "x.demos").exists()


def test_demonstrated_prompts_enter_the_pool_first_and_what_has_no_room_is_not_offered(tmp_path):
    demonstration_run(tmp_path / "run", 1, ("grasp it.", "lift it.", "rest.", "wait."))
    entries = ReplayStore(tmp_path / "run").entries
    pool = PromptPool(3)
    stored = into_pool(list(episodes_of(entries).values()), pool)
    assert pool.prompts == ("grasp it.", "lift it.", "rest.")
    assert stored[0] == NoteRecord(POOL, {"prompts": list(pool.prompts)})
    assert [each.prompt for each in stored[1].decision.candidates] == ["grasp it.", "lift it.", "rest."]
    assert [each.pool_index for each in stored[2].candidates] == [0, 1, 2]
