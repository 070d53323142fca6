"""Bags: whole, open, or cut off anywhere."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_ros2._dynamic import generate_dynamic
from mcap_ros2.decoder import DecoderFactory
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from sarl_ros.store.bag_writing import BagWriter, leftovers, newest_episode, seal_leftover, unused_name
from sarl_ros.store.bags import BagError, BagReader, find_bags
from sarl_ros.store.message_definitions import DefinitionError, message_definition, type_hash

NEVER = QosTime(0, 0)


def offered(durability=QosDurability.VOLATILE):
    return Qos(
        QosHistory.KEEP_LAST,
        10,
        QosReliability.RELIABLE,
        durability,
        NEVER,
        NEVER,
        QosLiveliness.AUTOMATIC,
        NEVER,
        False,
    )


RELIABLE = [offered()]
KEPT = [offered(QosDurability.TRANSIENT_LOCAL)]
METADATA = {"run": "r", "episode": "1", "config": "a:\n  b: 1\n", "preset": "", "version": "0.1.0", "git": "abc"}
STRING, KEY = "std_msgs/msg/String", "sarl_interfaces/msg/StepKey"
STORE = get_typestore(Stores.EMPTY)
for kind in (STRING, KEY):
    STORE.register(get_types_from_msg(message_definition(kind), kind))


def string(text):
    return bytes(STORE.serialize_cdr(STORE.types[STRING](data=text), STRING))


def key(step):
    return bytes(STORE.serialize_cdr(STORE.types[KEY](run="r", episode=1, step=step), KEY))


opened: list[BagWriter] = []


@pytest.fixture(autouse=True)
def close_open_bags():
    """What a test leaves open, as a killed recorder does, is closed once it is over."""
    yield
    while opened:
        opened.pop().leave()


def write(folder, count=20, name="episode-0001", size=100):
    """An open bag with `count` messages on two topics, and what was put into it."""
    writer = BagWriter(folder, name, METADATA)
    opened.append(writer)
    put = []
    for number in range(count):
        if number % 3:
            message = ("/text", STRING, 1000 + number, string(f"{number}" + "x" * size), RELIABLE)
        else:
            message = ("/key", KEY, 1000 + number, key(number), KEPT)
        writer.write(*message)
        put.append(message[:4])
    writer.flush()
    return writer, put


def read(path, topics=None):
    return [
        (message.topic, message.type, message.time_ns, message.data) for message in BagReader(path).messages(topics)
    ]


def test_a_sealed_bag_gives_back_every_message_in_order(tmp_path):
    writer, put = write(tmp_path)
    sealed = writer.seal()
    reader = BagReader(sealed)
    assert sealed == tmp_path / "episode-0001"
    assert read(sealed) == put
    assert (reader.metadata, reader.truncated) == (METADATA, False)
    assert reader.topics == {"/key": KEY, "/text": STRING}
    assert read(sealed, ["/key"]) == [message for message in put if message[0] == "/key"]
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != ".sealing"] == ["episode-0001"]


def test_an_open_bag_is_readable_while_it_is_recorded(tmp_path):
    writer, put = write(tmp_path)
    reader = BagReader(writer.path)
    assert read(writer.path) == put
    assert reader.truncated
    assert reader.metadata == METADATA
    assert [reader.decode(message).step for message in reader.messages(["/key"])] == list(range(0, 20, 3))


def test_what_was_flushed_survives_and_is_sealed_later(tmp_path):
    writer, put = write(tmp_path, count=50)
    del writer  # as a killed process: nothing is closed in order
    (left,) = leftovers(tmp_path)
    sealed = seal_leftover(left)
    assert read(sealed) == put
    assert leftovers(tmp_path) == []
    assert BagReader(sealed).truncated
    assert BagReader(sealed).metadata["run"] == "r"
    assert (
        yaml.safe_load(BagReader(sealed).channel_metadata("/key")["offered_qos_profiles"])[0]["durability"]
        == "transient_local"
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    writer, put = write(folder, count=40, size=30)
    data = writer.path.read_bytes()
    sealed = writer.seal()
    return data, (sealed / "episode-0001.mcap").read_bytes(), put, folder / "cut.mcap"


@settings(max_examples=300, deadline=None)
@given(at=st.floats(0, 1))
def test_a_recording_cut_at_any_byte_reads_as_a_prefix(recorded, at):
    data, _, put, path = recorded
    size = round(at * len(data))
    path.write_bytes(data[:size])
    got = read(path)
    assert got == put[: len(got)]
    assert BagReader(path).truncated
    assert len(got) == len(put) or sum(len(message[3]) for message in put[: len(got) + 1]) < size + 5000


def test_a_recording_that_is_sealed_meanwhile_is_read_from_its_folder(tmp_path):
    writer, put = write(tmp_path)
    (found,) = find_bags([tmp_path])
    sealed = writer.seal()
    assert found == writer.path
    assert BagReader(found).path == sealed
    assert read(found) == put


def test_each_of_the_last_bytes_of_a_recording_may_be_where_it_is_cut(recorded):
    data, _, put, path = recorded
    for size in range(len(data) - 300, len(data) + 1):
        path.write_bytes(data[:size])
        got = read(path)
        assert got == put[: len(got)]
        assert len(got) >= len(put) - 5
    assert len(got) == len(put)


@settings(max_examples=100, deadline=None)
@given(at=st.floats(0, 1))
def test_the_file_of_a_sealed_bag_may_be_cut_as_well(recorded, at):
    _, data, put, path = recorded
    path.write_bytes(data[: round(at * len(data))])
    got = read(path)
    assert got == put[: len(got)]


@settings(max_examples=50, deadline=None)
@given(at=st.floats(0, 1), zeros=st.integers(1, 40))
def test_blocks_the_disk_never_got_end_a_recording(recorded, at, zeros):
    data, _, put, path = recorded
    path.write_bytes(data[: 8 + round(at * len(data))] + bytes(zeros))
    got = read(path)
    strange = [message for message in got if message not in put]  # the one that was being written holds the zeros
    assert len(strange) <= 1
    whole = [message for message in got if message in put]
    assert whole == put[: len(whole)]


def test_big_bags_are_read_in_order_and_in_pieces(tmp_path):
    writer, put = write(tmp_path, count=600, size=10_000)
    assert read(writer.path) == put
    sealed = writer.seal()
    assert read(sealed) == put
    with (sealed / "episode-0001.mcap").open("rb") as file:
        assert len(make_reader(file).get_summary().chunk_indexes) > 3


def test_messages_written_out_of_order_are_read_in_order(tmp_path):
    writer = BagWriter(tmp_path, "episode-0001", METADATA)
    times = [30, 10, 20, 20, 5, 40]
    for number, time_ns in enumerate(times):
        writer.write("/text", STRING, time_ns, string(str(number)), RELIABLE)
    writer.flush()
    expected = [(time_ns, string(str(number))) for number, time_ns in enumerate(times)]
    expected.sort(key=lambda pair: pair[0])
    assert [(message[2], message[3]) for message in read(writer.path)] == expected
    assert [(message[2], message[3]) for message in read(writer.seal())] == expected


def test_two_independent_readers_decode_a_sealed_bag(tmp_path):
    writer, put = write(tmp_path)
    sealed = writer.seal()
    with Reader(sealed) as reader:
        assert [(c.topic, c.msgtype, time_ns, data) for c, time_ns, data in reader.messages()] == put
        assert next(c for c in reader.connections if c.topic == "/key").ext.offered_qos_profiles == KEPT
    with (sealed / "episode-0001.mcap").open("rb") as file:
        decoded = [
            message
            for _, _, _, message in make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages()
        ]
    assert [message.step for message in decoded if hasattr(message, "step")] == list(range(0, 20, 3))


def test_metadata_yaml_is_what_rosbag2_writes(tmp_path):
    writer, put = write(tmp_path)
    information = yaml.safe_load((writer.seal() / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["storage_identifier"] == "mcap"
    assert information["version"] == 9
    assert information["relative_file_paths"] == ["episode-0001.mcap"]
    assert information["message_count"] == len(put)
    assert information["custom_data"] == METADATA
    topics = {
        entry["topic_metadata"]["name"]: entry["topic_metadata"] for entry in information["topics_with_message_count"]
    }
    assert topics["/key"]["offered_qos_profiles"][0]["durability"] == "transient_local"


def test_an_empty_recording_leaves_nothing(tmp_path):
    assert BagWriter(tmp_path, "episode-0001", METADATA).seal() is None
    writer = BagWriter(tmp_path, "episode-0002", METADATA)
    writer.leave()
    assert seal_leftover(writer.path) is None
    for content in (b"", bytes(4096)):  # killed before its first bytes, or they never reached the disk
        writer.path.write_bytes(content)
        assert BagReader(writer.path).truncated
        assert seal_leftover(writer.path) is None
    assert leftovers(tmp_path) == []
    with pytest.raises(BagError, match="holds no bag"):
        find_bags([tmp_path])


def test_sealing_can_be_stopped_and_done_again(tmp_path):
    writer, put = write(tmp_path)
    writer.leave()
    assert seal_leftover(writer.path, stopped=lambda: True) is None
    assert read(writer.path) == put
    assert read(seal_leftover(writer.path)) == put


def test_a_recorder_killed_between_the_last_moves_of_sealing_leaves_one_bag(tmp_path):
    writer, put = write(tmp_path)
    data = writer.path.read_bytes()
    sealed = writer.seal()
    writer.path.write_bytes(data)
    assert find_bags([tmp_path]) == [sealed]
    assert seal_leftover(writer.path) == sealed
    assert not writer.path.exists()
    assert read(sealed) == put


def test_a_sealed_bag_is_on_the_disk_with_its_entries_before_the_recording_is_deleted(tmp_path, monkeypatch):
    writer, _ = write(tmp_path)
    synced, fsync = [], os.fsync

    def noted(descriptor):
        assert writer.path.exists()
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    sealed = writer.seal()
    made = tmp_path / ".sealing" / sealed.name
    assert {made / f"{sealed.name}.mcap", made, tmp_path} <= set(synced)
    assert not writer.path.exists()


def test_an_unknown_type_is_refused_and_the_bag_goes_on(tmp_path):
    writer, put = write(tmp_path)
    with pytest.raises(DefinitionError, match="install package vendor_msgs"):
        writer.write("/vendor", "vendor_msgs/msg/Thing", 2000, b"", RELIABLE)
    writer.write("/text", STRING, 2001, string("after"), RELIABLE)
    assert read(writer.seal()) == [*put, ("/text", STRING, 2001, string("after"))]


def test_bags_are_found_in_the_order_of_recording(tmp_path):
    bags = tmp_path / "bags"
    names = ["episode-0001", "episode-0001-2", "episode-0001-10", "episode-0002", "episode-10000"]
    for name in reversed(names):
        write(bags, count=2, name=name)[0].seal()
    open_bag = write(bags, count=2, name="episode-10001")[0].path
    found = [bags / name for name in names] + [open_bag]
    assert find_bags([tmp_path]) == find_bags([bags]) == found
    assert find_bags([bags / "episode-0002", open_bag, tmp_path]) == [
        bags / "episode-0002",
        open_bag,
        *found[:3],
        found[4],
    ]
    for path in (tmp_path / "nothing", bags / "episode-0001" / "metadata.yaml"):
        with pytest.raises(BagError, match="holds no bag"):
            find_bags([path])


def test_names_continue_after_a_restart(tmp_path):
    assert unused_name(tmp_path, 1) == "episode-0001"
    assert newest_episode(tmp_path / "none") == 0
    write(tmp_path, name="episode-0007")[0].seal()
    write(tmp_path, name="episode-0007-2")
    assert unused_name(tmp_path, 7) == "episode-0007-3"
    assert newest_episode(tmp_path) == 7


def test_what_is_no_bag_is_named(tmp_path):
    text = tmp_path / "text.mcap"
    text.write_text("hello")
    for path, why in ((text, "no MCAP"), (tmp_path, "is no bag"), (tmp_path / "none.mcap", "none.mcap")):
        with pytest.raises(BagError, match=why):
            BagReader(path)


def test_a_message_of_another_type_is_named(tmp_path):
    writer = BagWriter(tmp_path, "episode-0001", METADATA)
    writer.write("/text", STRING, 1, b"\x00\x01\x00\x00\xff", RELIABLE)
    reader = BagReader(writer.seal())
    with pytest.raises(BagError, match="/text"):
        reader.decode(next(reader.messages()))


def installed_types():
    return sorted(f"{path.parents[1].name}/msg/{path.stem}" for path in Path(sys.prefix, "share").glob("*/msg/*.msg"))


def test_every_installed_type_can_be_recorded_and_is_understood_by_both_readers():
    kinds = [kind for kind in installed_types() if not kind.startswith("rosidl")]
    assert {"sarl_interfaces/msg/Prompt", "interbotix_xs_msgs/msg/JointGroupCommand"} <= set(kinds)
    for kind in kinds:
        definition = message_definition(kind)
        assert type_hash(kind).startswith("RIHS01_")
        ours = get_typestore(Stores.EMPTY)
        ours.register(get_types_from_msg(definition, kind))
        assert kind in ours.types
        assert kind in generate_dynamic(kind, definition)


def test_arrays_of_numbers_are_numpy(tmp_path):
    kind = "sensor_msgs/msg/JointState"
    store = get_typestore(Stores.ROS2_JAZZY)
    header = store.types["std_msgs/msg/Header"](
        stamp=store.types["builtin_interfaces/msg/Time"](sec=1, nanosec=2), frame_id="f"
    )
    value = store.types[kind](header, ["a"], np.array([1.5]), np.array([2.5]), np.array([]))
    writer = BagWriter(tmp_path, "episode-0001", METADATA)
    writer.write("/joints", kind, 1, bytes(store.serialize_cdr(value, kind)), RELIABLE)
    reader = BagReader(writer.seal())
    decoded = reader.decode(next(reader.messages()))
    assert decoded.name == ["a"]
    assert decoded.position.tolist() == [1.5]
    assert decoded.position.dtype == np.float64
