"""A stop on disk: there from the moment it is kept, under its name, and whatever its file has become, never none."""

from __future__ import annotations

import errno
import os

import pytest

from widowx_bridge.stop_file import StopFile, new_stop


def test_a_stop_is_read_back_under_its_name_until_it_is_ended(tmp_path):
    path, stop = tmp_path / "a folder" / "arm.stop", new_stop()
    StopFile(str(path)).keep(lambda: stop)
    assert StopFile(str(path)).read() == stop
    StopFile(str(path)).keep(lambda: "")
    assert StopFile(str(path)).read() == ""
    assert not path.exists()


def test_that_no_stop_could_be_kept_is_told_before_there_is_one(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = StopFile(str(tmp_path / "arm.stop"))
    assert file.read() == file.problem == ""
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(os, "fsync", full)
    assert file.read() == ""
    assert "No space left on device: a stop would not outlive the bridge" in file.problem


@pytest.mark.parametrize("damage", [b"", b"\0" * 33, b"stop", b"\xff\xfe", b"5" * 31])
def test_a_file_that_cannot_be_read_is_a_stop_and_from_then_on_the_same_one(tmp_path, damage):
    path = tmp_path / "arm.stop"
    path.write_bytes(damage)
    stop = StopFile(str(path)).read()
    assert stop
    assert StopFile(str(path)).read() == stop


def test_a_file_that_is_a_folder_is_a_stop_and_the_remedy_is_told(tmp_path):
    file = StopFile(str(tmp_path))
    assert file.read()
    assert "make it a file that can be written" in file.problem
    file.keep(lambda: "")
    assert "will be back after a restart" in file.problem


def test_a_stop_that_cannot_be_kept_is_told_and_one_that_can_again_ends_that(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    file, stop = StopFile(str(blocked / "arm.stop")), new_stop()
    assert file.read(), "it may have been there"
    assert "would not outlive the bridge" in file.problem
    file.keep(lambda: stop)
    assert "would not outlive the bridge" in file.problem
    blocked.unlink()
    file.keep(lambda: stop)
    assert file.problem == ""
    assert file.read() == stop


def test_the_home_folder_is_meant_by_a_tilde_and_an_empty_path_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    stop = new_stop()
    StopFile("~/state/arm.stop").keep(lambda: stop)
    assert (tmp_path / "state" / "arm.stop").read_text().strip() == stop
    nothing = StopFile("")
    nothing.keep(lambda: stop)
    assert nothing.read() == ""
    assert os.listdir(tmp_path) == ["state"]
