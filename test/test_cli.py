"""The sarl command answers bad input with one line that names the thing, and a code that is not 0."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sarl_ros import cli, commands


def sarl(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "sarl_ros.cli", *arguments], capture_output=True, text=True, cwd=cwd, timeout=120
    )


GOOD_TABLE = {
    "objects": {"spoon": {"x": 0.3, "y": 0.0}},
    "subgoals": [{"grasp": "spoon", "prompts": {"grasp": ["grasp the spoon."]}}],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objects": {"unicorn": {"x": 0.3, "y": 0.0}}}, ["bad.yaml", "no object 'unicorn'", "use "]),
        ({"start": [0.9, 0.0, 0.1]}, ["bad", "start", "take a point over the table"]),
        ({"subgoals": []}, ["bad.yaml", "subgoals are missing"]),
    ],
)
def test_an_unusable_task_is_refused_before_anything_starts(change, words, tmp_path):
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({"instruction": "grasp the spoon", "sim": GOOD_TABLE | change}))
    done = sarl("train", "--task", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    for word in words:
        assert word in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--task", "no_such_task"], ["no_such_task"]),
        (
            ["train", "--task", "hammer", "--demos", "3", "--demo-file", "missing.demos"],
            ["missing.demos", "sarl steer"],
        ),
        (["train", "--resume", "."], ["no run folder"]),
        (["train", "--fault-script", "none.yaml"], ["none.yaml"]),
        (["train", "--seed", "-1"], ["seed is -1", "greater than or equal to 0"]),
        (["eval", "--agents", "", "--run", "."], ["no run folder"]),
        (["eval", "--robot", "widowx", "--agents", "zero_shot,oracle"], ["oracle", "real robot"]),
        (["steer", "--run", "."], ["no run folder"]),
        (["operate"], ["needs a terminal"]),
        (["vla-eval", "--policy", "no_such_weights"], ["no_such_weights"]),
    ],
)
def test_bad_input_is_answered_with_one_line(arguments, words, tmp_path):
    done = sarl(*arguments, cwd=tmp_path)
    assert done.returncode not in (0, 130)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert word in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("train --resume RUN --episodes 4", "--episodes changes nothing with --resume"),
        ("train --resume RUN --task banana", "--task changes nothing with --resume"),
        ("train --resume RUN --no-record", "--no-record changes nothing with --resume"),
        ("train --resume RUN --console", "--console changes nothing with --resume"),
        ("train --resume RUN --offline BAG", "changes nothing with"),
        ("train --offline BAG --demos 3", "--demos changes nothing with --offline"),
        ("train --offline BAG --headless", "--headless changes nothing with --offline"),
        ("train --updates 5", "--updates is for --offline"),
        ("train --headless --operate", "leave out --headless"),
        ("train --headless --console", "leave out --headless"),
        ("train --headless --time realtime", "leave out --headless"),
        ("train --headless --robot widowx", "leave out --headless"),
        ("train --preset nope", "nope"),
        ("train --demos -1", "demos is -1"),
        ("eval --at 25", "--at is for --run"),
        ("eval --workers 2", "--workers is for --headless"),
        ("eval --agents foo", "--agents foo: choose among zero_shot, random, oracle"),
        ("eval --agents random,sarl", "what learns is evaluated by --run"),
        ("steer --run RUN --prompts FILE", "--prompts changes nothing with --run"),
        ("replay BAG --restore", "--restore is for --rebuild"),
        ("replay --rebuild RUN --loop", "--loop changes nothing with --rebuild"),
        ("operate --domain 3 --run RUN", "--run changes nothing with --domain"),
    ],
)
def test_what_would_change_nothing_or_cannot_be_is_refused_before_anything_starts(
    typed, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(typed.split())
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "typed",
    [
        "compare a b --json FOLDER",
        "train --json FILE/figures.json",
        "analyze RUN --output FILE/report",
        "replay --rebuild RUN --output FILE/store.srl",
        "steer --output FILE/x.demos",
        "demos --output FILE",
        "vla-train --output FILE/mini",
        "vla-eval --picture FOLDER",
        "train --offline BAG --output FILE/off",
    ],
)
def test_what_could_not_be_written_is_told_before_the_work(typed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("FOLDER").mkdir()
    Path("FILE").write_text("kept")
    with pytest.raises(SystemExit) as ended:
        cli.main(typed.split())
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "FILE is no folder: choose another place" in said or "FOLDER is a folder: name a file" in said
    assert Path("FILE").read_text() == "kept"


def test_the_folder_of_the_figures_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("sarl_ros.commands.cameras.run", lambda options: {"cameras": []})
    cli.main(["cameras", "--json", str(tmp_path / "new" / "folder" / "figures.json")])
    assert (tmp_path / "new" / "folder" / "figures.json").read_text() == '{\n  "cameras": []\n}\n'


def test_what_is_said_of_an_evaluations_graph_reaches_each_of_its_runs(tmp_path, monkeypatch):
    trees = []

    def play(folder):
        trees.append(folder.tree())
        folder.episodes.write_text('{"outcome": "SUCCESS", "decisions": 2}\n')
        return {"successes": 1, "episodes": 1, "recall": None}

    monkeypatch.setattr("sarl_ros.runs.run.run_graph", play)
    root = ["--runs", str(tmp_path)]
    cli.main(["eval", "--robot", "widowx", "--no-record", "--console", "127.0.0.1:8099", *root])
    faults = tmp_path / "faults.yaml"
    faults.write_text("- {fault: camera_drop, camera: front, for_s: 1.0}")
    options = ["--time", "realtime", "--wide", "--fault-script", str(faults)]
    cli.main(["eval", "--agents", "oracle", *options, *root])
    agents = [tree["sarl_learner"]["ros__parameters"]["agent"] for tree in trees]
    assert agents == ["zero_shot", "random", "oracle"]
    for tree in trees[:2]:
        assert "camera_front" in tree
        assert tree.keys().isdisjoint({"sim_world", "recorder"})
        assert tree["console"]["ros__parameters"]["port"] == 8099
        assert tree["operator"]["ros__parameters"]["auto"] is False
    assert (
        trees[2]["sim_world"]["ros__parameters"] | {"time": "realtime", "fault_script": str(faults)}
        == (trees[2]["sim_world"]["ros__parameters"])
    )
    assert trees[2]["operator"]["ros__parameters"]["wide"] is True
    assert all(tree["sarl_learner"]["ros__parameters"]["evaluate"] for tree in trees)


def test_every_file_of_commands_is_a_verb_and_none_loads_what_is_heavy():
    files = {path.stem.replace("_", "-") for path in Path(commands.__file__).parent.glob("[a-z]*.py")}
    assert files - {"options"} == set(cli.VERBS)
    code = "import sys; from sarl_ros.cli import build_parser; build_parser()\n"
    code += "print([name for name in ('torch', 'rclpy', 'mujoco', 'cv2', 'mcap', 'matplotlib') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
