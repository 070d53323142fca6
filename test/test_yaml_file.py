"""What files of settings may say, and that what is written is read alike by PyYAML and by rcl."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sarl_ros.core.yaml_file import FileModel, YamlError, dump_yaml, load_yaml


class Example(FileModel):
    rate: float
    count: int = 1
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.5", 1.5),
        ("-3", -3),
        ("true", True),
        ("'on'", "on"),
        ('"1e3"', "1e3"),
        ("~", None),
        ("/a/b.yaml", "/a/b.yaml"),
        ("none of these", "none of these"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars_are_what_any_parser_makes_of_them(text, value):
    read = load_yaml(f"x: {text}", "f")["x"]
    assert (read, type(read)) == (value, type(value))


def test_names_are_texts_whatever_they_would_be_as_values():
    assert load_yaml("{x: 1, y: 2, on: 3, 4: 5}", "f") == {"x": 1, "y": 2, "on": 3, "4": 5}


@pytest.mark.parametrize(
    "text",
    ["y", "n", "NO", "on", "Off", "yes", "1_000", "1:30", "010", "0x1F", "0o17", "0b1", "2024-01-01", "nan", "inf"],
)
def test_what_parsers_read_differently_is_refused_by_line(text):
    with pytest.raises(YamlError, match=r"^f: line 2: .* differently") as error:
        load_yaml(f"a: 1\nx: {text}", "f")
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: a is there twice"),
        ("a: {b: 1, b: 2}", "b is there twice"),
        ("a: &x [1]\nb: *x", "line 2: .*alias"),
        ("[1]: a", "is no name"),
        ("{a", "f: line 1"),
        ("a: !!python/object:os.system {}", "line 1: .*python.* is a tag"),
        ("a: 1\nb: !!binary eA==", "line 2: .*binary is a tag"),
        ("a: !!set {b}", "set is a tag"),
        ("!!timestamp 2024-01-01: 1", "is a tag"),
        ("a: !!float 3", "is a tag"),
        ("a: ! b", "! is a tag"),
        ("[" * 3000, "lists within lists"),
        ("a: \x00", "not YAML"),
        ("a: 1\n---\nb: 2", "document"),
    ],
)
def test_a_file_that_does_not_say_one_thing_is_one_line(text, said):
    with pytest.raises(YamlError, match=said) as error:
        load_yaml(text, "f")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("f:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate: .inf", "rate is inf: .*finite"),
        ("rate: .nan", "rate is nan: .*finite"),
        ("rate: '1'", "rate is '1': .*number"),
        ("rate: true", "rate is True: .*number"),
        ("rate: 1.0\ncount: 1.5", "count is 1.5: .*integer"),
        ("rate: 1.0\nspeed: 2", "speed is unknown"),
        ("count: 1", "rate is missing"),
        ("rate: 1.0\nnames: [a, 1]", r"names.1 is 1, which is no text: put it in quotes"),
        ("- rate", "is no mapping"),
        ("", "is no mapping"),
    ],
)
def test_a_model_names_what_is_wrong_in_one_line(text, said):
    with pytest.raises(YamlError, match=f"^f: {said}") as error:
        Example.of(load_yaml(text, "f"), "f")
    assert "\n" not in str(error.value)


def test_what_is_wrong_is_not_longer_than_a_line():
    with pytest.raises(YamlError, match=r"f: a{57}\.\.\. is unknown: delete it") as error:
        Example.of({"rate": 1, "a" * 5000: 1}, "f")
    assert len(str(error.value)) < 200
    with pytest.raises(YamlError, match=r"^f: o 3\.5 is unknown: delete it, or correct its name$"):
        Example.of(load_yaml("{rate: 1, o\r\r\n 3.5}", "f"), "f")


def test_a_model_takes_whole_numbers_for_a_rate_and_lists_for_tuples():
    assert Example.of(load_yaml("rate: 1\nnames: [a, b]", "f"), "f") == Example(rate=1.0, names=("a", "b"))


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(blacklist_categories=("Cs", "Cc"))),
    st.sampled_from(["on", "y", "1e3", "1_0", "0x1", "1:30", "~", "", " ", "null", "=", "<<", "- a", "a: b", "#", "é"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(SCALARS, min_size=1, max_size=5))
def test_what_is_written_is_read_again_by_both(values):
    text = dump_yaml({"x": values})
    for read in (load_yaml(text, "f"), yaml.safe_load(text)):
        assert [(value, type(value)) for value in read["x"]] == [(value, type(value)) for value in values]


@pytest.mark.parametrize("value", ["on", "y", "1e3", "1_0", "0x1F", "012", "1:30", "", "nan", ".inf", "~", "a: b", "é"])
def test_rcl_reads_a_written_text_as_that_text(tmp_path, value):
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node

    file = tmp_path / "config.yaml"
    file.write_text(dump_yaml({"reader": {"ros__parameters": {"text": value, "rate": 1e-5, "count": 7, "on": True}}}))
    context = Context()
    rclpy.init(args=["--ros-args", "--params-file", str(file)], context=context, domain_id=None)
    try:
        node = Node("reader", context=context, automatically_declare_parameters_from_overrides=True)
        read = {name: node.get_parameter(name).value for name in ("text", "rate", "count", "on")}
        node.destroy_node()
    finally:
        context.shutdown()
    assert read == {"text": value, "rate": 1e-5, "count": 7, "on": True}
