"""A ROS domain belongs to one run of this machine, as long as any process of that run lives."""

import os
import subprocess
import sys
import time

import pytest

from sarl_ros.runs.domains import ROBOT_DOMAINS, claim_domain, keep_domain, own_domain
from sarl_ros.runs.folder import RunError

HOLDER = (
    "import subprocess, sys, time\n"
    "from sarl_ros.runs.domains import claim_domain\n"
    "number, claim = claim_domain()\n"
    "node = [sys.executable, '-c', 'import time; time.sleep(600)', '--params-file', '/runs/mine/config.yaml']\n"
    "child = subprocess.Popen(node, pass_fds=(claim.fileno(),))\n"
    "print(number, child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)


def test_two_runs_on_one_machine_get_two_domains():
    first, first_claim = claim_domain()
    second, second_claim = claim_domain()
    with first_claim, second_claim:
        assert first != second


def test_a_domain_that_a_person_exports_is_one_run_s(monkeypatch):
    free, claim = claim_domain()
    claim.close()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free))
    number, claim = claim_domain()
    with claim, pytest.raises(RunError) as refused:
        claim_domain()
    assert number == free
    words = str(refused.value)
    assert words.startswith(f"ROS domain {free} is in use by process {os.getpid()}: ")
    assert "ROS_DOMAIN_ID" in words
    assert "\n" not in words
    claim_domain()[1].close()


def test_a_run_on_a_robot_is_where_the_driver_is_and_there_is_one_at_a_time():
    with own_domain(ROBOT_DOMAINS) as (number, _):
        assert number == 0
        assert os.environ.pop("ROS_DOMAIN_ID") == "0"
        with pytest.raises(RunError, match="ROS domain 0 is in use"):
            claim_domain(ROBOT_DOMAINS)


def test_a_second_run_of_the_same_process_claims_a_domain_again():
    with own_domain() as (first, _):
        assert os.environ["ROS_DOMAIN_ID"] == str(first)
    assert "ROS_DOMAIN_ID" not in os.environ
    with own_domain() as (second, _):
        del os.environ["ROS_DOMAIN_ID"]
        other, claim = claim_domain()
        claim.close()
        assert other != second


@pytest.mark.parametrize("text", ["abc", "-1", "233", "1.5", "0x10", "4 2"])
def test_what_is_no_domain_is_refused_by_its_name_and_range(text, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    with pytest.raises(RunError, match=f"ROS_DOMAIN_ID is '{text}': set it to a whole number from 0 to 232"):
        claim_domain()
    with pytest.raises(RunError, match="--domain is"):
        claim_domain(wanted=text, named="--domain")


def test_a_replay_s_domain_has_nothing_to_do_with_the_exported_one(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    number, claim = claim_domain(wanted="")
    claim.close()
    assert number != 42


def test_a_launch_keeps_its_domain_and_may_ask_again(monkeypatch):
    free, claim = claim_domain()
    claim.close()
    assert keep_domain(ROBOT_DOMAINS, str(free)) == keep_domain(ROBOT_DOMAINS, str(free)) == free
    with pytest.raises(RunError, match="in use"):
        claim_domain(wanted=str(free))


def test_a_domain_is_taken_until_the_last_node_of_a_killed_run_has_ended():
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    number, node = map(int, holder.stdout.readline().split())
    with holder:  # closes its pipes as well
        holder.kill()
    try:
        with pytest.raises(RunError, match=f"in use by /runs/mine .process {node}."):
            claim_domain(wanted=str(number))
        other, claim = claim_domain()
        claim.close()
        assert other != number
    finally:
        os.kill(node, 9)
    deadline = time.monotonic() + 20
    while True:
        try:
            claim_domain(wanted=str(number))[1].close()
            return
        except RunError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
