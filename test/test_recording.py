"""The recorder's core, without ROS: bags by episode, what is dropped and what never, disks that fill or refuse."""

import errno
import threading
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from sarl_ros.nodes.recorder.disk import DiskLimits, DiskWatch, Space
from sarl_ros.nodes.recorder.images import COMPRESSED_IMAGE, ImageCompressor, ImageError
from sarl_ros.nodes.recorder.recording import LogClock, Recording, Stream
from sarl_ros.store.bag_writing import BagWriter
from sarl_ros.store.bags import BagReader, find_bags

STRING = "std_msgs/msg/String"
METADATA = {"run": "r", "config": "", "preset": "", "version": "0", "git": ""}
LIMITS = DiskLimits(warn=3000, images=2000, close=1000)
IMAGE_STREAM = Stream("/camera/front/color/image_raw/compressed", COMPRESSED_IMAGE, image=True)
KEPT = Stream("/kept", STRING, kept=True)
PLAIN = Stream("/plain", STRING)
EPISODE = Stream("/episode", STRING, kept=True, begins=lambda data: int(data[4:]))


class FakeDisk:
    def __init__(self, free=10_000):
        self.free = free

    def __call__(self, folder):
        return self.free


def record(folder, disk=None, backlog_bytes=1_000_000):
    lines = []
    recording = Recording(folder, METADATA, DiskWatch(folder, LIMITS, disk or FakeDisk()), backlog_bytes, lines.append)
    return recording, lines


def wait_until(condition, what="it"):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.01)


def recorded(folder, topic=None):
    bags = find_bags([folder])
    return {
        bag.name.removesuffix(".mcap"): [m.data for m in BagReader(bag).messages() if topic in (None, m.topic)]
        for bag in bags
    }


def data(text):
    return b"\x00\x01\x00\x00" + str(text).encode()


def test_each_episode_has_a_bag_of_its_own(tmp_path):
    recording, _ = record(tmp_path)
    for episode in (1, 2, 3):
        recording.take(PLAIN, data(f"before {episode}"))
        recording.take(EPISODE, data(episode))
        recording.take(PLAIN, data(f"in {episode}"))
        recording.take(EPISODE, data(episode))
    recording.close(20)
    assert recorded(tmp_path) == {
        "episode-0001": [data(text) for text in ("before 1", 1, "in 1", 1, "before 2")],
        "episode-0002": [data(text) for text in (2, "in 2", 2, "before 3")],
        "episode-0003": [data(text) for text in (3, "in 3", 3)],
    }
    assert [BagReader(bag).metadata["episode"] for bag in find_bags([tmp_path])] == ["1", "2", "3"]
    assert not any(BagReader(bag).truncated for bag in find_bags([tmp_path]))


def test_a_recording_that_begins_again_goes_on_beside_what_it_finds(tmp_path):
    recording, _ = record(tmp_path)
    recording.take(EPISODE, data(4))
    wait_until(lambda: (tmp_path / "episode-0004.mcap").exists(), "the bag")
    time.sleep(0.3)
    copy = tmp_path / "copy"  # as the disk has it when the recorder is killed
    copy.mkdir()
    (copy / "episode-0004.mcap").write_bytes((tmp_path / "episode-0004.mcap").read_bytes())
    recording.close(20)
    recording, _ = record(copy)
    recording.take(EPISODE, data(4))
    recording.take(EPISODE, data(5))
    recording.close(20)
    assert recorded(copy) == {"episode-0004": [data(4)], "episode-0004-2": [data(4)], "episode-0005": [data(5)]}
    assert [BagReader(bag).truncated for bag in find_bags([copy])] == [True, False, False]


def test_a_message_is_in_the_file_soon_after_it_was_handed_over(tmp_path):
    recording, _ = record(tmp_path)
    for stream in (PLAIN, KEPT):
        recording.take(stream, data(stream.topic))
        wait_until(
            lambda s=stream: (
                (tmp_path / "episode-0001.mcap").exists() and data(s.topic) in recorded(tmp_path)["episode-0001"]
            )
        )
    recording.close(20)


def test_log_times_never_step_back(monkeypatch):
    clock = LogClock()
    first = clock.now_ns()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    clock.set()
    assert clock.now_ns() >= first
    monkeypatch.setattr(time, "time_ns", lambda: first + 10**12)
    clock.set()
    assert clock.now_ns() >= first + 10**12


def test_when_the_writer_cannot_follow_images_go_first_and_kept_messages_never(tmp_path, monkeypatch):
    gate = threading.Event()
    write = BagWriter.write
    monkeypatch.setattr(BagWriter, "write", lambda *arguments: (gate.wait(20), write(*arguments))[1])
    recording, _ = record(tmp_path, backlog_bytes=10_000)
    recording.take(KEPT, data("first"))
    wait_until(lambda: not recording._queue, "the writer")
    for number in range(20):
        recording.take(IMAGE_STREAM, bytes(1000))
        recording.take(PLAIN, data(number) + bytes(600))
        recording.take(KEPT, data(number) + bytes(600))
    faults = recording.faults()
    gate.set()
    recording.close(20)
    images, plain, kept = (
        len(recorded(tmp_path, stream.topic)["episode-0001"]) for stream in (IMAGE_STREAM, PLAIN, KEPT)
    )
    assert kept == 21
    assert images < plain < 20
    assert (recording.dropped_images, recording.dropped_messages) == (20 - images, 20 - plain)
    assert f"{20 - images} images and {20 - plain} other messages" in faults["drops"]
    metadata = BagReader(tmp_path / "episode-0001").metadata
    assert metadata["dropped"] == f"{20 - images} images, {20 - plain} messages"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("sarl_ros.nodes.recorder.recording.DISK_PERIOD_S", 0.0)
    monkeypatch.setattr("sarl_ros.nodes.recorder.recording.RETRY_S", 0.2)


def test_as_space_runs_out_there_is_a_warning_then_no_images_then_a_closed_bag(tmp_path, quick):
    disk = FakeDisk()
    recording, lines = record(tmp_path, disk)

    def at(free, space):
        disk.free = free
        wait_until(lambda: recording._disk.space is space, space.name)

    def put(mark):
        recording.take(IMAGE_STREAM, data(mark))
        recording.take(KEPT, data(mark))
        wait_until(lambda: not recording._queue, "the writer")

    put("enough")
    assert recording.ready
    assert recording.faults() == {}
    at(2500, Space.LOW)
    put("low")
    assert recording.ready
    assert "delete or move bags" in recording.faults()["disk"]
    at(1500, Space.NO_IMAGES)
    put("no images")
    assert not recording.ready
    assert "no further episode" in recording.faults()["disk"]
    at(500, Space.FULL)
    wait_until(lambda: (tmp_path / "episode-0001").is_dir(), "the sealed bag")
    put("full")
    at(1500, Space.FULL)
    at(5000, Space.ENOUGH)
    put("again")
    assert recording.ready
    recording.close(20)
    assert recorded(tmp_path, IMAGE_STREAM.topic) == {
        "episode-0001": [data("enough"), data("low")],
        "episode-0001-2": [data("again")],
    }
    assert recorded(tmp_path, KEPT.topic) == {
        "episode-0001": [data("enough"), data("low"), data("no images")],
        "episode-0001-2": [data("full"), data("again")],
    }
    assert recording.dropped_images == 2
    assert len(lines) == 4


def test_a_disk_that_refuses_a_write_costs_no_kept_message(tmp_path, quick, monkeypatch):
    recording, _ = record(tmp_path)
    recording.take(KEPT, data("before"))
    wait_until(lambda: recording._bag is not None and not recording._queue, "the writer")
    write = BagWriter.write

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(BagWriter, "write", refuse)
    recording.take(KEPT, data("refused"))
    recording.take(PLAIN, data("lost"))
    wait_until(lambda: "write" in recording.faults(), "the fault")
    assert "No space left on device" in recording.faults()["write"]
    assert not recording.ready
    monkeypatch.setattr(BagWriter, "write", write)
    time.sleep(0.3)
    recording.take(KEPT, data("after"))
    wait_until(lambda: recording.ready, "recording to go on")
    recording.close(20)
    assert recorded(tmp_path, KEPT.topic) == {
        "episode-0001": [data("before")],
        "episode-0001-2": [data("refused"), data("after")],
    }


def test_a_folder_that_cannot_be_written_leaves_no_empty_files(tmp_path, quick, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sarl_ros.store.bag_folder.McapWriter.add_metadata", refuse)
    recording, _ = record(tmp_path)
    recording.take(KEPT, data("refused"))
    wait_until(lambda: "write" in recording.faults(), "the fault")
    recording.close(20)
    assert not list(tmp_path.glob("*.mcap"))


def test_free_space_limits_must_fall():
    with pytest.raises(ValueError, match="each must be below"):
        DiskLimits(warn=1, images=2, close=0)


def image(encoding, pixels, frame_id="camera", padding=0):
    rows = pixels.reshape(pixels.shape[0], pixels[:1].size).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1])
    message.header.stamp.sec, message.header.stamp.nanosec = 12, 34
    message.header.frame_id = frame_id
    message.data = rows.tobytes()
    return serialize_message(message)


def scene(channels):
    y, x = np.mgrid[0:48, 0:64]
    planes = [4 * x, 5 * y, 3 * (x + y) // 2, np.full_like(x, 255)]
    return np.ascontiguousarray(np.stack(planes[:channels], -1).astype(np.uint8))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colours_survive_compression(encoding):
    pixels = scene(len(encoding) - 1)
    message = deserialize_message(ImageCompressor(95)(image(encoding, pixels, padding=4)), CompressedImage)
    decoded = cv2.imdecode(np.asarray(message.data), cv2.IMREAD_COLOR).astype(int)
    expected = pixels[..., :3] if encoding.startswith("bgr") else pixels[..., 2::-1]
    assert np.abs(decoded - expected).mean() < 6
    assert message.format == f"{encoding}; jpeg compressed bgr8"


@settings(max_examples=20, deadline=None)
@given(frame_id=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12))
def test_stamp_and_frame_are_kept_and_16_bits_survive_exactly(frame_id):
    depth = (np.arange(48 * 64, dtype=np.uint16) * 17).reshape(48, 64)
    message = deserialize_message(ImageCompressor(80)(image("16UC1", depth, frame_id)), CompressedImage)
    assert (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id) == (12, 34, frame_id)
    assert np.array_equal(cv2.imdecode(np.asarray(message.data), cv2.IMREAD_UNCHANGED), depth)


def test_grey_images_stay_grey():
    message = deserialize_message(ImageCompressor(95)(image("mono8", scene(1)[..., 0])), CompressedImage)
    assert cv2.imdecode(np.asarray(message.data), cv2.IMREAD_UNCHANGED).shape == (48, 64)


def test_what_cannot_be_compressed_says_so_and_is_recorded_as_it_came(tmp_path):
    compressor = ImageCompressor(80)
    floats = image("32FC1", np.zeros((4, 4, 1), np.float32))
    for message, why in (
        (floats, "32FC1"),
        (image("rgb8", scene(3))[:100], "malformed"),
        (b"\x00\x00", "little-endian"),
        (image("rgb8", np.zeros((0, 4, 3), np.uint8)), "malformed"),
        (image("mono16", np.zeros((4, 0, 1), np.uint16)), "malformed"),
        *((image("rgb8", scene(3))[:length], "malformed|no compressed form") for length in range(4, 64, 7)),
    ):
        with pytest.raises(ImageError, match=why):
            compressor(message)
    recording, lines = record(tmp_path)
    stream = Stream("/depth", "sensor_msgs/msg/Image", image=True, compress=compressor)
    for message in (floats, floats, image("rgb8", scene(3))):
        recording.take(stream, message)
    recording.close(20)
    assert recorded(tmp_path, "/depth") == {"episode-0001": [floats, floats]}
    assert len(recorded(tmp_path, "/depth/compressed")["episode-0001"]) == 1
    assert len(lines) == 1
    assert "32FC1" in lines[0]
