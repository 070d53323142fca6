"""`sarl doctor`, and what a run refuses of its environment before anything is started or written (faults 24 and 46)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from domains import domain_of

from sarl_ros.cli import main
from sarl_ros.core.environment import environment_faults
from sarl_ros.runs import doctor
from sarl_ros.runs.domains import claim_domain


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("ROS_DOMAIN_ID", "abc", "set it to a whole number from 0 to 232"),
        ("ROS_DOMAIN_ID", "233", "set it to a whole number from 0 to 232"),
        ("MUJOCO_GL", "foo", "set it to osmesa or egl"),
        ("ROS_LOCALHOST_ONLY", "yes", "set it to 0 or 1"),
        ("RCUTILS_LOGGING_USE_STDOUT", "loud", "set it to 0 or 1"),
        ("RCUTILS_COLORIZED_OUTPUT", "blue", "set it to 0 or 1"),
        ("HOME", "/dev/null/me", "set ROS_LOG_DIR"),
        ("ROS_HOME", "/dev/null/ros", "set ROS_LOG_DIR"),
        ("ROS_LOG_DIR", "/dev/null/log", "set ROS_LOG_DIR"),
        ("TMPDIR", "/dev/null/tmp", "make it, or unset it"),
        ("TMPDIR", "9" * 400, "make it, or unset it"),
        ("ROS_LOG_DIR", "9" * 400, "set ROS_LOG_DIR"),
        ("ROS_SECURITY_ENABLE", "true", "ROS_SECURITY_KEYSTORE names no folder"),
        ("ROS_DISCOVERY_SERVER", "127.0.0.1:none", "no server is at 127.0.0.1:none"),
    ],
)
def test_a_variable_that_does_not_work_is_one_line_with_the_remedy(name, value, remedy):
    (fault,) = environment_faults({name: value})
    assert fault.startswith(f"{name} is '{value}': ")
    assert remedy in fault
    assert "\n" not in fault


def test_a_middleware_that_is_not_installed_names_those_that_are(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "librmw_fastrtps_cpp.so").touch()
    there = {"AMENT_PREFIX_PATH": str(tmp_path)}
    (fault,) = environment_faults(there | {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"})
    assert "set it to rmw_fastrtps_cpp" in fault
    assert not environment_faults(there | {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"})


def test_a_discovery_server_is_refused_only_where_its_port_is_closed():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert not environment_faults({"ROS_DISCOVERY_SERVER": address})
    (fault,) = environment_faults({"ROS_DISCOVERY_SERVER": address})
    assert f"no server is at {address}" in fault


def test_variables_that_work_or_are_empty_are_no_fault(tmp_path):
    good = {"ROS_DOMAIN_ID": "232", "MUJOCO_GL": "egl", "HOME": "/dev/null/me", "ROS_LOG_DIR": str(tmp_path / "new")}
    assert not environment_faults(good | {"RMW_IMPLEMENTATION": "", "TMPDIR": str(tmp_path)})


def test_without_a_graph_only_what_matters_there_is_judged():
    both = {"ROS_DOMAIN_ID": "abc", "MUJOCO_GL": "foo"}
    assert [fault.split()[0] for fault in environment_faults(both, graph=False)] == ["MUJOCO_GL"]


@pytest.mark.parametrize(
    "command",
    [["train", "--demos", "0", "--operate"], ["eval", "--agents", "random"], ["steer", "--prompts", "none"]],
)
def test_a_run_is_refused_before_anything_is_written(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "abc")
    with pytest.raises(SystemExit) as ended:
        main([*command, "--runs", str(tmp_path / "runs")])
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ROS_DOMAIN_ID is 'abc'")
    assert "\n" not in said
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_ends_a_run_before_its_folder_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_999_000_000))
    with pytest.raises(SystemExit):
        main(["train", "--demos", "0", "--runs", str(tmp_path / "runs")])
    assert "1999 MB are free, bags need 2000 MB" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_a_disk_is_judged_by_the_folder_in_which_runs_would_be_made(tmp_path):
    (tmp_path / "file").touch()
    assert doctor.check_disk({}, tmp_path / "new" / "runs").judgement == "good"
    assert doctor.check_disk({}, tmp_path / "file" / "runs").judgement == "bad"


def test_too_old_a_python_is_bad():
    assert doctor.check_python((3, 9)).judgement == "bad"
    assert doctor.check_python(sys.version_info[:2]).judgement == "good"


def test_a_renderer_that_crashes_is_a_line():
    check = doctor.check_rendering(os.environ, "import os; os.abort()")
    assert (check.judgement, check.words.split(":")[0]) == ("bad", "ended with -6")


def test_shared_memory_that_is_small_or_missing_is_bad(tmp_path):
    assert doctor.check_shared_memory(tmp_path / "none").judgement == "bad"
    assert "--shm-size" in doctor.check_shared_memory(tmp_path, needed_mb=1 << 40).words
    assert doctor.check_shared_memory(tmp_path, needed_mb=0).judgement == "good"


def test_a_domain_that_another_run_has_is_bad():
    number, claim = claim_domain(wanted="")
    with claim:
        check = doctor.check_domain({"ROS_DOMAIN_ID": str(number)})
    assert check.judgement == "bad"
    assert f"process {os.getpid()}" in check.words


@pytest.mark.parametrize(
    ("simulated", "domain", "there", "judgement", "words"),
    [
        (True, "", ["sarl_learner"], "good", "none asked for: a run takes one that is free"),
        (True, "199", [], "good", "199, with nobody in it"),
        (True, "199", ["rviz2", "talker"], "good", "199, with rviz2, talker"),
        (True, "199", ["sarl_learner", "talker"], "bad", "199 has another graph, of sarl_learner: end that, or"),
        (True, "199", None, "bad", "no ROS node can be made in domain 199"),
        (False, "", ["xs_sdk"], "good", "0, with xs_sdk"),
        (False, "abc", ["xs_sdk"], "absent", "not looked at, see ROS_DOMAIN_ID"),
        (True, "²", [], "absent", "not looked at, see ROS_DOMAIN_ID"),
        (True, "233", [], "absent", "not looked at, see ROS_DOMAIN_ID"),
    ],
)
def test_a_domain_is_judged_by_who_is_in_it(simulated, domain, there, judgement, words):
    check = doctor.check_domain({"ROS_DOMAIN_ID": domain}, simulated, lambda *_: there)
    assert check.judgement == judgement
    assert check.words.startswith(words)


def test_the_nodes_of_other_processes_in_a_domain_are_found():
    number = domain_of(__name__)
    inside = "rclpy.init(); node = rclpy.create_node('talker'); print('up', flush=True); input()"
    environment = {**os.environ, "ROS_DOMAIN_ID": str(number)}
    command = [sys.executable, "-c", f"import rclpy; {inside}"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as talker:
        assert talker.stdout.readline() == b"up\n"
        assert doctor.participants(environment, number) == ["talker"]
        talker.kill()


def test_the_pages_token_and_port_are_looked_at():
    tree = {"console": {"ros__parameters": {"host": "127.0.0.1", "port": 8080}}}
    assert doctor.check_console(tree, {"SARL_CONSOLE_TOKEN": "short"}).judgement == "bad"
    assert "needs a token" in doctor.check_console(tree, {}, "0.0.0.0:0").words
    assert doctor.check_console(tree, {}, "127.0.0.1:0").judgement == "good"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        tree["console"]["ros__parameters"]["port"] = port = taken.getsockname()[1]
        assert doctor.check_console(tree, {}).judgement == "absent"
        check = doctor.check_console(tree, {}, needed=True)
    assert (check.judgement, check.words.split(":")[0]) == ("bad", f"port {port} on 127.0.0.1 is taken")


def test_weights_and_prompts_that_are_missing_are_bad():
    assert doctor.check_policy("mini").judgement == doctor.check_prompts("scene").judgement == "good"
    assert "no_such" in doctor.check_policy("no_such_weights").words
    assert "none.txt" in doctor.check_prompts("fixed:none.txt").words


def test_the_arms_usb_device_and_the_latency_of_its_own_adapter_are_looked_at(tmp_path):
    parameters = {"usb_device": ""}
    tree = {"arm_bridge": {"ros__parameters": parameters}}

    def judgements():
        return [check.judgement for check in doctor.check_arm(tree, tmp_path / "adapters")]

    for adapter, latency in (("ttyUSB0", 16), ("ttyUSB1", 1)):
        (tmp_path / "adapters" / adapter).mkdir(parents=True)
        (tmp_path / "adapters" / adapter / "latency_timer").write_text(f"{latency}\n")
        (tmp_path / adapter).touch()
    assert judgements() == ["absent"]
    parameters["usb_device"] = str(tmp_path / "ttyDXL")
    assert judgements() == ["bad"]
    (tmp_path / "ttyDXL").symlink_to(tmp_path / "ttyUSB0")
    assert judgements() == ["good", "bad"]
    (tmp_path / "ttyDXL").unlink()
    (tmp_path / "ttyDXL").symlink_to(tmp_path / "ttyUSB1")
    assert judgements() == ["good", "good"]


def test_what_is_bad_is_in_the_figures_and_in_the_exit_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "check_rendering", lambda _: doctor.Check("rendering", "good", "egl"))
    monkeypatch.setenv("ROS_DOMAIN_ID", "abc")
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json", str(tmp_path / "checks.json"), "--runs", str(tmp_path)])
    assert ended.value.code == 1
    assert "not ready: ROS_DOMAIN_ID" in capsys.readouterr().err
    figures = json.loads((tmp_path / "checks.json").read_text())["checks"]
    assert [check["name"] for check in figures if check["judgement"] == "bad"] == ["ROS_DOMAIN_ID"]


def test_a_camera_that_the_robots_file_names_is_bad_where_it_is_not_there(tmp_path):
    tree = {"camera_front": {"ros__parameters": {"source": "uvc", "device": str(tmp_path / "video0")}}}
    assert [check.judgement for check in doctor.check_cameras(tree)] == ["bad"]
    (tmp_path / "video0").touch()
    assert [check.judgement for check in doctor.check_cameras(tree)] == ["good"]


@pytest.mark.parametrize("command", ["train", "eval", "steer", "doctor"])
def test_a_back_end_that_mujoco_refuses_to_load_with_is_one_line(command, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "sarl_ros.cli", command, "--runs", str(tmp_path / "runs")],
        env={**os.environ, "MUJOCO_GL": "foo"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert "MUJOCO_GL" in ended.stderr
    assert not (tmp_path / "runs").exists()
