"""Checkpoints appear whole, go on exactly, and are refused when they do not fit."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from sarl_ros.core.types import Candidate, Decision, StepKey, Verdict
from sarl_ros.methods.preset import PresetError, load_preset
from sarl_ros.methods.sarl.training import Training, load_acting_critics
from sarl_ros.store.appendfile import StoreError
from sarl_ros.store.checkpoint import Checkpoint, latest_checkpoint, read_checkpoint, read_facts, write_checkpoint
from sarl_ros.store.replay_store import (
    POOL,
    DecisionRecord,
    NoteRecord,
    ReplayStore,
    StoredObservation,
    TransitionRecord,
)

SMALL = load_preset("sim").model_copy(update={"critics": 2, "hidden": 16, "batch": 4, "pool_capacity": 4})
PROMPTS = ("open.", "close.", "lift.")


def fill(folder, steps=6):
    generator = np.random.default_rng(0)
    candidates = tuple(Candidate(prompt, row) for row, prompt in enumerate(PROMPTS))

    def look(stamp):
        return StoredObservation(
            generator.integers(0, 256, (64, 64, 3), np.uint8), generator.random(8, np.float32), stamp
        )

    with ReplayStore(folder) as store:
        store.append(NoteRecord(POOL, {"prompts": list(PROMPTS)}))
        for step in range(1, steps + 1):
            key = StepKey("run", 1, step)
            store.append(DecisionRecord(Decision(key, candidates, step % 3, "sarl"), look(step)))
            done = step == steps
            verdict = Verdict.SUCCESS if done else Verdict.CONTINUE
            offered = () if done else candidates
            store.append(TransitionRecord(key, verdict, -0.125 * (not done), done, look(step + 1), offered))
        return store.size


def same(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_only_the_newest_and_the_chosen_checkpoints_stay(tmp_path):
    for episode in range(1, 8):
        write_checkpoint(tmp_path, episode, Checkpoint({"x": torch.tensor([episode])}, {"n": episode}), keep_every=3)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["episode-000003", "episode-000006", "episode-000007", "latest"]
    assert read_checkpoint(latest_checkpoint(tmp_path)).facts["n"] == 7
    assert read_checkpoint(tmp_path / "episode-000003").tensors["x"].item() == 3


def test_a_checkpoint_that_was_being_written_leaves_the_one_before(tmp_path):
    write_checkpoint(tmp_path, 1, Checkpoint({"x": torch.tensor([1])}, {"n": 1}))
    (tmp_path / "episode-000002.partial").write_bytes(b"half of a file")
    assert read_checkpoint(latest_checkpoint(tmp_path)).facts["n"] == 1
    write_checkpoint(tmp_path, 2, Checkpoint({"x": torch.tensor([2])}, {"n": 2}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["episode-000002", "latest"]


def test_the_newest_checkpoint_needs_no_link(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    for episode in (1, 2):
        write_checkpoint(tmp_path, episode, Checkpoint({"x": torch.tensor([episode])}, {"n": episode}))
    assert read_checkpoint(latest_checkpoint(tmp_path)).facts["n"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["episode-000002"]


TENSORS = {"b": torch.arange(6, dtype=torch.float32).reshape(2, 3), "a": torch.tensor([1, 2], dtype=torch.uint8)}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_or_a_cut_is_refused_or_changes_nothing(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("checkpoints")
    path = write_checkpoint(folder, 1, Checkpoint(TENSORS, {"updates": 810, "prompts": ["open."]}))
    whole = bytearray(path.read_bytes())
    offset = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole[offset] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del whole[offset:]
    path.write_bytes(whole)
    try:
        found, why = read_checkpoint(path), ""
    except StoreError as error:
        found, why = None, str(error)
    if found is None:
        assert re.search("episode-000001: .*delete it: a run that goes on does its updates again", why)
        assert "\n" not in why
    else:
        assert found.facts == {"updates": 810, "prompts": ["open."]}
        assert {name: each.tolist() for name, each in found.tensors.items()} == {
            name: each.tolist() for name, each in TENSORS.items()
        }


def test_counts_that_were_changed_with_care_are_refused(tmp_path):
    path = write_checkpoint(tmp_path, 1, Checkpoint(TENSORS, {"updates": 810}))
    path.write_bytes(path.read_bytes().replace(b"810", b"910"))
    for read in (read_checkpoint, read_facts):
        with pytest.raises(StoreError, match="is damaged, it is not what was written"):
            read(path)


def test_a_checkpoint_of_a_version_without_digests_is_read(tmp_path):
    save_file(TENSORS, tmp_path / "episode-000001", {"sarl": json.dumps({"updates": 5})})
    found = read_checkpoint(latest_checkpoint(tmp_path))
    assert found.facts == read_facts(tmp_path / "episode-000001") == {"updates": 5}
    assert torch.equal(found.tensors["b"], TENSORS["b"])


def test_files_that_are_no_checkpoint_are_named_in_one_line(tmp_path):
    (tmp_path / "garbage").write_bytes(b"not a checkpoint at all")
    for name in ("garbage", "missing"):
        with pytest.raises(StoreError, match=name) as caught:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_going_on_from_a_checkpoint_equals_never_having_stopped(tmp_path):
    size = fill(tmp_path)
    through = Training(tmp_path, SMALL, seed=3)
    through.observe(size)
    through.update(3, 0.05)
    through.save(0)
    stopped = Training(tmp_path, SMALL, seed=3)
    stopped.observe(size)
    assert stopped.updates == 3
    through.update(4, 0.05)
    stopped.update(4, 0.05)
    assert same(through.critics, stopped.critics)
    assert same(through._targets, stopped._targets)


def test_the_same_seed_trains_the_same_critics_and_another_seed_others(tmp_path):
    size = fill(tmp_path)
    trained = []
    for seed in (1, 1, 2):
        training = Training(tmp_path, SMALL, seed)
        training.observe(size)
        training.update(3, 0.05)
        trained.append(training.critics)
    assert same(trained[0], trained[1])
    assert not same(trained[0], trained[2])


def test_critics_learn_that_success_is_worth_nothing_less_than_zero(tmp_path):
    size = fill(tmp_path, steps=1)
    training = Training(tmp_path, SMALL.model_copy(update={"learning_rate": 3e-3, "crop_pixels": 0}), seed=0)
    training.observe(size)
    first = training.update(1, 0.05)
    assert first.value == pytest.approx(-0.6, abs=0.2)
    training.update(60, 0.05)
    assert training.update(1, 0.05).loss < 0.1 * first.loss


def test_acting_critics_come_with_the_pool_that_names_their_rows(tmp_path):
    size = fill(tmp_path)
    training = Training(tmp_path, SMALL, seed=0)
    training.observe(size)
    training.update(2, 0.05)
    critics, pool = load_acting_critics(training.save(1))
    assert pool.prompts == PROMPTS
    assert same(critics, training.critics)


def test_a_checkpoint_of_other_preset_values_is_refused(tmp_path):
    Training(tmp_path, SMALL, 0).save(0)
    with pytest.raises(StoreError, match="other preset values"):
        Training(tmp_path, SMALL.model_copy(update={"hidden": 32}), 0)


def test_presets_name_what_is_wrong_with_them(tmp_path):
    good = "\n".join(
        f"{name}: {list(value) if isinstance(value, tuple) else value}" for name, value in SMALL.model_dump().items()
    )
    path = tmp_path / "mine.yaml"
    path.write_text(good)
    assert load_preset(str(path)) == SMALL
    for change, message in (
        (good.replace("critics: 2", "critics: 0"), "critics is 0: .*greater than or equal to 1"),
        (good.replace("critics: 2", "critics: two"), "critics is 'two': .*integer"),
        (good.replace("critics: 2", ""), "critics is missing"),
        (good + "\nspeed: 3", "speed is unknown"),
        (good.replace("[2, 2, 2, 2]", "[2, 0]"), "strides"),
    ):
        path.write_text(change)
        with pytest.raises(PresetError, match=message):
            load_preset(str(path))
    with pytest.raises(PresetError, match="choose one of paper, sim"):
        load_preset("nonsense")


def test_temperature_falls_geometrically_and_stays():
    preset = SMALL.model_copy(update={"temperature": 0.04, "final_temperature": 0.01, "anneal_episodes": 10})
    assert preset.temperature_after(0) == pytest.approx(0.04)
    assert preset.temperature_after(5) == pytest.approx(0.02)
    assert preset.temperature_after(50) == pytest.approx(0.01)


def test_a_trainer_does_not_pass_over_records_that_are_damaged_since(tmp_path):
    size = fill(tmp_path)
    data = bytearray((tmp_path / "replay.srl").read_bytes())
    data[-5] ^= 1
    (tmp_path / "replay.srl").write_bytes(data)
    with pytest.raises(StoreError, match=r"replay.srl is damaged at byte \d+"):
        Training(tmp_path, SMALL, 0).observe(size)
