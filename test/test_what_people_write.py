"""What people type, edit and copy works, or is refused in one line; `bench/fuzz.py` draws for hours what this draws."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from graph_tools import make_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarl_ros import cli
from sarl_ros.commands.options import refuse_without_effect
from sarl_ros.core.environment import VARIABLES, environment_faults
from sarl_ros.core.paths import config_dir
from sarl_ros.core.task import TaskError
from sarl_ros.methods.preset import PresetError, parse_preset
from sarl_ros.policies.policy import PolicyError
from sarl_ros.proposers.proposer import ProposerError
from sarl_ros.proposers.registry import check_proposer
from sarl_ros.runs.choices import RunChoices, check_task
from sarl_ros.runs.folder import RunError, RunSettings, create_run, open_run
from sarl_ros.runs.headless import run_headless
from sarl_ros.runs.resume import resume_run
from sarl_ros.runs.steering import read_sequences
from sarl_ros.sim.fault_script import ScriptError, parse_script

SCRIPT = "- {fault: camera_drop, camera: front, for_s: 1.0}\n- {fault: late_states, on_reset: 2, for_s: 3.5}\n"
PROMPTS = "grasp the lid > lift\n# words\nopen the gripper\n"
YAML = r"""- |: |{|}|[|]|#|'|"|>|,|&a |<<: *a|!!python/object/apply:os.system [true]|!!binary x|!a |? |@|\|%YAML 3.0"""
VALUES_IN_YAML = "nan .nan .inf -.inf 1e999 1e-4 0x10 010 1_000 12:30 2026-01-01 yes ~ null -1"
LETTERS = "\x00 \x07 \ufeff \u2028 \ud7ff é e\u0301 م 𝔘"
LONG = ("9" * 400, "[" * 3000, "{" * 500, "a" * 5000)
LINES = ("\t", "\r\n", "|", "\n---\n", "\n...\n")
PIECES = (*YAML.split("|"), *VALUES_IN_YAML.split(), *LETTERS.split(" "), *LONG, *LINES)
piece = st.sampled_from(PIECES) | st.text(max_size=12)
drawn = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@st.composite
def edited(draw, text: str) -> str:
    """A text in which up to three pieces were replaced, put in or taken out."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + draw(piece) + text[end:]
    return text


def works_or_is_one_line(call: Callable[[], object], *errors: type[Exception]) -> bool:
    """Whether it works; what it raises instead is one of these, in a line that a person can read."""
    try:
        call()
    except errors as error:
        said = str(error)
        assert said.strip()
        assert "\n" not in said
        assert len(said) < 1000
        return False
    return True


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_what_is_edited_works_as_it_is(tmp_path):
    assert len(parse_script(SCRIPT)) == 2
    path = written(tmp_path / "prompts.txt", PROMPTS)
    assert len(read_sequences(path, "hammer")) == 2
    assert parse_preset((config_dir() / "agents" / "sim.yaml").read_text(), "sim")
    for name in ("sim", "widowx"):
        assert create_run(RunSettings(task="hammer", episodes=1, robot=name), tmp_path / "runs").path.is_dir()


@drawn
@given(text=st.sampled_from(sorted((config_dir() / "tasks").glob("*.yaml"))).flatmap(lambda p: edited(p.read_text())))
def test_a_task_file(tmp_path, text):
    path = written(tmp_path / "mine.yaml", text)
    works_or_is_one_line(lambda: check_task(str(path)), TaskError)


@drawn
@given(text=edited((config_dir() / "agents" / "sim.yaml").read_text()))
def test_a_preset(text):
    works_or_is_one_line(lambda: parse_preset(text, "mine"), PresetError)


@drawn
@given(text=edited(SCRIPT))
def test_a_script_of_faults(text):
    works_or_is_one_line(lambda: parse_script(text), ScriptError)


@settings(drawn, max_examples=30)
@given(name=st.sampled_from(["sim", "widowx"]), data=st.data())
def test_a_robots_parameter_file_makes_a_run_that_can_be_opened(tmp_path, name, data):
    path = written(tmp_path / "mine.yaml", data.draw(edited((config_dir() / f"{name}.yaml").read_text())))
    runs = tmp_path / "runs"
    wanted = RunSettings(task="hammer", episodes=1, config=path, robot=name)
    if works_or_is_one_line(lambda: create_run(wanted, runs), RunError):
        (made,) = runs.iterdir()
        assert open_run(made).setting("operator", "run_dir") == str(made)
        shutil.rmtree(runs)
    else:
        assert not runs.exists()


@drawn
@given(content=st.binary(max_size=60) | edited(PROMPTS).map(str.encode))
def test_a_file_of_prompts(tmp_path, content):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    works_or_is_one_line(lambda: read_sequences(path, "hammer"), RunError)
    works_or_is_one_line(lambda: check_proposer(f"fixed:{path}"), ProposerError)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), piece, st.sampled_from(["hammer", "sim", "mini", "scene", ""])
)


@drawn
@given(values=st.dictionaries(st.sampled_from([*RunChoices.model_fields, "typo"]), VALUES, max_size=4))
def test_choices(values):
    errors = (RunError, TaskError, ScriptError, PolicyError)
    works_or_is_one_line(lambda: RunChoices.of(values).settings(), *errors)


@drawn
@given(environment=st.dictionaries(st.sampled_from([variable.name for variable in VARIABLES]), piece))
def test_environment_variables(environment):
    for fault in environment_faults({name: value.replace("\0", "") for name, value in environment.items()}):
        assert fault.split(" is ")[0] in environment
        assert "\n" not in fault


OPTIONS = (
    "--resume --offline --episodes --at --run --workers --headless --operate --console --json --output --restore"
    " --rebuild --domain --demos --prompts --no-record --rate -h"
)


@drawn
@given(
    verb=st.sampled_from(cli.VERBS), words=st.lists(st.sampled_from(OPTIONS.split()) | piece | st.just("3"), max_size=5)
)
def test_what_is_typed_after_a_command(tmp_path, monkeypatch, capsys, verb, words):
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(SystemExit):
        cli.build_parser().parse_args([verb, *words])
        works_or_is_one_line(lambda: refuse_without_effect(cli.verb_of(verb), words), RunError)
    capsys.readouterr()


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("played"), episodes=2, record=False)
    run_headless(folder, quiet=True)
    return folder.path


@settings(drawn, max_examples=15)
@given(name=st.sampled_from(["config.yaml", "operator.jsonl", "episodes.jsonl"]), data=st.data())
def test_a_run_folder_in_which_a_file_was_edited(tmp_path, played, name, data):
    copy = tmp_path / "copy"
    shutil.copytree(played, copy)
    try:
        text = (copy / name).read_text()
        written(copy / name, data.draw(edited(text)))
        store = (copy / "replay.srl").read_bytes()
        if not works_or_is_one_line(lambda: resume_run(copy, lambda _: None), RunError):
            assert (copy / "replay.srl").read_bytes() == store
    finally:
        shutil.rmtree(copy)
