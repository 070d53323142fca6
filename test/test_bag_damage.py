"""What flipped bits, cuts and strangers do to bags: a clear error, nothing, or a repair that is said; never silence."""

import itertools
import random
import resource
import shutil

import pytest
import yaml
from mcap.reader import make_reader
from mcap.records import Chunk, DataEnd, Footer
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from ruamel.yaml import YAML
from test_bags import KEY, METADATA, RELIABLE, STRING, close_open_bags, key, opened, read, string, write  # noqa: F401

from sarl_ros.store.bag_folder import INFORMATION
from sarl_ros.store.bag_run import read_run
from sarl_ros.store.bag_writing import BagWriter, seal_leftover
from sarl_ros.store.bags import BagError, BagReader, find_bags
from sarl_ros.store.mcap_sums import SUM, SUM_BEGINS
from sarl_ros.store.message_definitions import message_definition, type_hash

FLIPS, CUTS = 4000, 200


def told(path):
    """What a bag says, and what is said of it."""
    reader = BagReader(path)
    topics = [
        (topic, kind, reader.definition(kind), reader.channel_metadata(topic)) for topic, kind in reader.topics.items()
    ]
    metadata = {name: text for name, text in reader.metadata.items() if name not in ("cut", "uncovered")}
    messages = [(message.topic, message.type, message.time_ns, message.data) for message in reader.messages()]
    says = topics, metadata, messages
    return says, (reader.truncated, reader.notes)


def damaged(data):
    """`data` with one bit flipped, at places spread over all of it; then cut anywhere."""
    rng = random.Random(0)
    places = range(len(data)) if len(data) < FLIPS else sorted(rng.sample(range(len(data)), FLIPS))
    for place in places:
        yield "flip", place, data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    for size in {0, 1, 7, 8, 9, *rng.sample(range(len(data)), CUTS), *range(len(data) - 40, len(data))}:
        yield "cut", size, data[:size]


def outcomes(bag, file):
    """How many damages of `file` were refused, had no effect, were told; and those that changed the bag in silence."""
    whole, said = told(bag)
    data = file.read_bytes()
    found = {"refused": 0, "no effect": 0, "told": 0}
    silent = []
    for what, place, changed in damaged(data):
        file.write_bytes(changed)
        try:
            now, words = told(bag)
        except BagError as error:
            silent += [(what, place)] * ("\n" in str(error) or ": " not in str(error))
            found["refused"] += 1
            continue
        cut_off = what == "cut" and words[0] and now[2] == whole[2][: len(now[2])]
        if words != said or cut_off:
            found["told"] += 1
        elif now == whole:
            found["no effect"] += 1
        else:
            silent.append((what, place))
    file.write_bytes(data)
    return found, silent


def recording(folder):
    """An open recording that is flushed as a recorder does, and a tail that was not."""
    writer = BagWriter(folder, "episode-0001", METADATA)
    opened.append(writer)
    for number in range(60):
        if number % 3:
            writer.write("/text", STRING, 1000 + number, string(f"{number}" + "x" * 30), RELIABLE)
        else:
            writer.write("/key", KEY, 1000 + number, key(number), RELIABLE)
            writer.flush()
    return writer


@pytest.mark.slow
def test_no_bit_of_a_sealed_bag_and_no_cut_changes_it_in_silence(tmp_path):
    bag = recording(tmp_path).seal()
    found, silent = outcomes(bag, bag / "episode-0001.mcap")
    assert silent == []
    assert found["refused"] >= FLIPS, "every flip, and every cut that leaves no message"
    assert found["no effect"] == 0


@pytest.mark.slow
def test_a_damaged_description_is_replaced_by_what_the_recording_says_and_that_is_said(tmp_path):
    bag = recording(tmp_path).seal()
    described = bag / "metadata.yaml"
    whole, (_, notes) = told(bag)
    assert notes == []
    found, silent = outcomes(bag, described)
    assert silent == []
    assert found["refused"] == found["no effect"] == 0
    for damage in (b"", b"\xff\xfe", described.read_bytes()[:300], described.read_bytes().replace(b"r\n", b"s\n")):
        described.write_bytes(damage)
        now, (_, (note,)) = told(bag)
        assert now == whole
        assert "metadata.yaml is not as it was written: what episode-0001.mcap says is taken" in note
    described.unlink()
    assert find_bags([tmp_path]) == [bag]
    assert told(bag)[0] == whole


@pytest.mark.slow
def test_no_bit_of_an_open_recording_that_was_flushed_changes_it_in_silence(tmp_path):
    writer = recording(tmp_path)
    writer.flush()
    found, silent = outcomes(writer.path, writer.path)
    assert silent == []
    assert found["refused"] > FLIPS * 0.95
    flip(writer.path, 1000)
    with pytest.raises(BagError, match=r"episode-0001.mcap is damaged between bytes \d+ and \d+: restore it from"):
        seal_leftover(writer.path)
    assert writer.path.is_file()


def flip(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 4
    file.write_bytes(data)


def test_the_tail_of_a_killed_recorder_is_kept_as_far_as_it_can_be_read_and_said_to_have_no_checksum(tmp_path):
    writer = recording(tmp_path)
    writer.leave()  # two more messages than were flushed
    reader = BagReader(writer.path)
    assert len(list(reader.messages())) == 60
    assert reader.uncovered == 2
    assert "last 2 messages had no checksum" in reader.notes[0]
    sealed = seal_leftover(writer.path)
    assert len(read(sealed)) == 60
    assert BagReader(sealed).notes == reader.notes
    assert f"episode-0001: {reader.notes[0]}" in read_run([sealed]).notes


def fill(writer, rng):
    for step in itertools.count():
        writer.write("/text", STRING, step, string("x" * rng.randrange(60_000)), RELIABLE)
        if rng.random() < 0.2:
            writer.flush()


def test_a_disk_that_fills_up_at_any_byte_leaves_a_recording_whose_checksums_hold(tmp_path):
    rng = random.Random(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for number in range(20):
        writer = BagWriter(tmp_path, f"episode-{number:04}", METADATA)
        resource.setrlimit(resource.RLIMIT_FSIZE, (rng.randrange(5_000, 1_000_000), before[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                fill(writer, rng)
            writer.leave()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        got = read(writer.path)
        assert [message[2] for message in got] == list(range(len(got)))


def test_damage_before_the_newest_checksum_is_no_torn_tail(tmp_path):
    writer = recording(tmp_path)
    writer.leave()
    data = writer.path.read_bytes()
    at = data.index(string("1" + "x" * 30)) - 31
    assert data[at] == 5  # opcode of a message
    for length in (0, 20, 1 << 40):
        writer.path.write_bytes(data[: at + 1] + length.to_bytes(8, "little") + data[at + 9 :])
        with pytest.raises(BagError, match="damaged between"):
            BagReader(writer.path)
    last = data.rindex(SUM_BEGINS)
    writer.path.write_bytes(data[: last - 60] + bytes(60) + data[last:])
    with pytest.raises(BagError, match="damaged between"):
        BagReader(writer.path)


def test_other_readers_pass_over_our_checksums(tmp_path):
    writer = recording(tmp_path)
    writer.flush()
    data = writer.path.read_bytes()
    assert data.count(SUM_BEGINS) > 20
    file = tmp_path / "closed.mcap"
    file.write_bytes(data)
    with file.open("ab") as handle:  # as an MCAP tool would close it
        handle.write(b"\x0f" + (4).to_bytes(8, "little") + bytes(4))
        handle.write(b"\x02" + (20).to_bytes(8, "little") + bytes(20) + data[:8])
    with file.open("rb") as handle:
        assert len(list(make_reader(handle).iter_messages())) == 60
    assert len(read(file)) == 60


def test_a_sealed_bag_has_the_checksums_of_the_format(tmp_path):
    bag = recording(tmp_path).seal()
    file = bag / "episode-0001.mcap"
    with file.open("rb") as handle:
        messages = list(make_reader(handle, validate_crcs=True).iter_messages())
    assert len(messages) == 60
    with file.open("rb") as handle:
        records = list(StreamReader(handle, emit_chunks=True).records)
    assert all(record.uncompressed_crc for record in records if isinstance(record, Chunk))
    assert all(record.data_section_crc for record in records if isinstance(record, DataEnd))
    assert all(record.summary_crc for record in records if isinstance(record, Footer))
    assert {Chunk, DataEnd, Footer} <= {type(record) for record in records}


def without_sums(data):
    kept, *others = data.split(SUM_BEGINS)
    return kept + b"".join(part[SUM.size - len(SUM_BEGINS) :] for part in others)


def old_bag(folder, name="episode-0001"):
    """A bag as it was sealed before it had checksums."""
    writer = RosbagsWriter(folder / name, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    for entry in METADATA.items():
        writer.set_custom_data(*entry)
    writer.open()
    topic = writer.add_connection(
        "/text", STRING, msgdef=message_definition(STRING), rihs01=type_hash(STRING), offered_qos_profiles=RELIABLE
    )
    for number in range(20):
        writer.write(topic, 1000 + number, string(str(number)))
    writer.close()
    return folder / name


def test_bags_without_checksums_are_read_as_ever(tmp_path):
    bag = old_bag(tmp_path)
    reader = BagReader(bag)
    assert [data for *_, data in read(bag)] == [string(str(number)) for number in range(20)]
    assert (reader.metadata, reader.truncated, reader.notes) == (METADATA, False, [])
    writer = recording(tmp_path / "new")
    writer.leave()
    open_bag = tmp_path / "open.mcap"
    open_bag.write_bytes(without_sums(writer.path.read_bytes()))
    assert read(open_bag) == read(writer.path)
    assert BagReader(open_bag).uncovered == 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"relative_file_paths": None}, "names no files"),
        ({"relative_file_paths": [3]}, "names no files"),
        ({"storage_identifier": "sqlite3"}, "convert it"),
    ],
)
def test_a_damaged_description_of_a_bag_without_checksums_is_named(tmp_path, change, why):
    path = old_bag(tmp_path)
    described = path / "metadata.yaml"
    tree = yaml.safe_load(described.read_text())
    tree["rosbag2_bagfile_information"] |= {"custom_data": "none"} | change
    described.write_text(yaml.safe_dump(tree))
    with pytest.raises(BagError, match=why):
        BagReader(path)
    described.write_bytes(b"\xff\xfe")
    with pytest.raises(BagError, match="is no text"):
        BagReader(path)


def test_a_damaged_chunk_without_a_checksum_is_named(tmp_path):
    file = old_bag(tmp_path) / "episode-0001.mcap"
    file.write_bytes(file.read_bytes().replace(b"\x28\xb5\x2f\xfd", bytes(4)))  # what a zstd frame begins with
    with pytest.raises(BagError, match="damaged"):
        read(file.parent)


def test_what_damage_does_to_one_bag_is_not_laid_to_another(tmp_path):
    one = recording(tmp_path).seal()
    other = tmp_path / "episode-0002"
    shutil.copytree(one, other)
    (other / "episode-0001.mcap").rename(other / "episode-0002.mcap")
    flip(other / "episode-0002.mcap", 2000)
    assert len(read(one)) == 60
    with pytest.raises(BagError, match=r"episode-0002/episode-0002.mcap is damaged .*move the bag elsewhere"):
        read_run(find_bags([tmp_path]))


def foreign(path, **options):
    """A valid MCAP of somebody else's with two topics, one of which has no type."""
    with path.open("wb") as handle:
        writer = McapWriter(handle, **options)
        writer.start("ros2", "elsewhere")
        schema = writer.register_schema(STRING, "ros2msg", message_definition(STRING).encode())
        text = writer.register_channel("/text", "cdr", schema)
        strange = writer.register_channel("/strange", "json", 0)
        for number in range(10):
            writer.add_message(text, number, string(str(number)), number)
            writer.add_message(strange, number, b"{}", number)
        writer.finish()
    return path


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD])
def test_a_summary_that_repeats_nothing_hides_nothing(tmp_path, compression):
    bare = {"repeat_channels": False, "repeat_schemas": False, "use_statistics": False, "index_types": IndexType.NONE}
    file = foreign(tmp_path / "a.mcap", compression=compression, **bare, use_summary_offsets=False)
    assert [data for *_, data in read(file)] == [string(str(number)) for number in range(10)]
    assert not BagReader(file).truncated


def test_a_topic_without_a_type_is_left_out_with_a_word(tmp_path):
    file = foreign(tmp_path / "a.mcap")
    reader = BagReader(file)
    assert reader.topics == {"/text": STRING}
    assert reader.notes == ["topic /strange has no type and is left out"]
    assert len(list(reader.messages())) == 10


@pytest.mark.parametrize(
    "text",
    [
        'x:\n  y: "' + "1" * 60 + '\\xDF "\n',
        "a: '" + "ü \\ " * 60 + "'\n",
        "\t# \u2028 \x85 \n\n  x  \n",
        "0E0",
        "~",
        "\N{ROBOT FACE}\r\n\ufeff",
    ],
)
def test_any_text_in_the_metadata_comes_back_as_it_was(tmp_path, text):
    writer = BagWriter(tmp_path, "episode-0001", METADATA | {"config": text})
    writer.write("/text", STRING, 1, string("a"), RELIABLE)
    bag = writer.seal()
    assert BagReader(bag).metadata["config"] == text
    with Reader(bag) as reader:  # by another YAML library
        assert [data for *_, data in reader.messages()] == [string("a")]
    assert YAML(typ="safe").load((bag / "metadata.yaml").read_text())[INFORMATION]["custom_data"]["config"] == text


def test_big_bags_are_covered_in_every_part(tmp_path):
    writer, _ = write(tmp_path, count=600, size=10_000)
    data = writer.path.read_bytes()
    rng = random.Random(1)
    bag = writer.seal()
    file = bag / "episode-0001.mcap"
    for _ in range(20):
        place = rng.randrange(file.stat().st_size)
        flip(file, place)
        with pytest.raises(BagError, match="damaged"):
            read(bag)
        flip(file, place)
    live = tmp_path / "live.mcap"
    live.write_bytes(data)
    for place in [rng.randrange(8, len(data) - 60) for _ in range(20)]:
        flip(live, place)
        with pytest.raises(BagError, match="damaged"):
            read(live)
        flip(live, place)
    assert read(live) == read(bag)
