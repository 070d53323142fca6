"""The operator's page in a real browser on a real graph: two whole episodes and a HOLD, through the page alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time

import pytest
import rclpy
from domains import free_domain
from fakes.processes import wait_for
from graph_tools import finish, make_run, start
from rclpy.executors import SingleThreadedExecutor

from sarl_interfaces.msg import ArmState, Episode
from sarl_ros.ros import topics
from sarl_ros.ros.spinning import SpinThread

CHROMIUM = shutil.which("chromium")
WAIT_MS = 60_000
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install -y chromium")


class Witness:
    """What the graph itself says, for comparison with the page."""

    def __init__(self) -> None:
        self.arm: list[tuple[float, ArmState]] = []
        self.episodes: list[Episode] = []
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=free_domain(__name__))
        self.node = rclpy.create_node("witness", context=self.context)
        self.node.create_subscription(ArmState, topics.ARM_STATE, self.on_arm, topics.STREAM)
        self.node.create_subscription(Episode, topics.EPISODE, self.episodes.append, topics.LATCHED)
        self.spinner = SpinThread(SingleThreadedExecutor(context=self.context), self.node)

    def on_arm(self, message: ArmState) -> None:
        self.arm.append((time.monotonic(), message))

    def close(self) -> None:
        self.spinner.stop(timeout_s=20.0)
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that a person operates, in real time, with its console on a free port."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain(__name__)))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    folder = make_run(tmp_path, control_steps=5, operate=True, time="realtime", console_at="127.0.0.1:0")
    witness = Witness()
    process = start(folder)
    yield folder, process, witness
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(20)
    witness.close()


@pytest.fixture
def page(run, tmp_path):
    from playwright.sync_api import sync_playwright

    folder, _, _ = run
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(WAIT_MS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if outside(request.url) else None)
        page.goto(address(folder))
        yield page
        if os.environ.get("CONSOLE_PICTURES"):
            page.screenshot(path=f"{os.environ['CONSOLE_PICTURES']}/end.png")
        browser.close()
    assert problems == [], "errors of the page, or requests to somewhere else"


def outside(url: str) -> bool:
    return not re.match(r"(https?|wss?)://127\.0\.0\.1:|blob:|data:", url)


def address(folder) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        log = folder.log("console")
        found = re.search(r"^console (http://\S+)", log.read_text(), re.M) if log.exists() else None
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError("the console has not said where it is")


def wait_for_state(page, state: str) -> None:
    page.locator(f'.top[data-state="{state}"]').wait_for()


def wait_armed(page, button: str) -> None:
    page.locator(f"[data-press={button}].armed").wait_for()


def prompt_of_step(page, step: int) -> str:
    """The prompt as the page shows it in large letters, once that step runs."""
    page.locator(".prompt .by", has_text=f"Step {step},").wait_for()
    return page.locator(".prompt .now").inner_text()


def test_two_episodes_and_a_hold_through_the_page_alone(run, page):
    _, process, witness = run
    wait_for_state(page, "IDLE")
    wait_armed(page, "start")
    assert page.locator("[data-press=success]").get_attribute("aria-disabled") == "true"
    assert page.locator("[data-press=success] .why").inner_text() == "no episode runs"
    page.click("[data-press=start]")
    wait_armed(page, "reset_done")
    page.click("[data-press=reset_done]")
    wait_for_state(page, "READY")
    wait_armed(page, "start")
    page.dblclick("[data-press=start]")
    wait_for_state(page, "RUNNING")
    assert prompt_of_step(page, 1) not in ("", "–")
    page.wait_for_function("document.querySelectorAll('.candidate.chosen:not(.hidden)').length === 1")
    assert prompt_of_step(page, 2) not in ("", "–")
    assert page.evaluate("window.consoleFrames.length") == 2
    page.wait_for_function("window.consoleFrames.every((camera) => camera.count > 0)")
    page.dblclick("[data-press=success]")
    wait_for_state(page, "SUCCESS")
    wait_for_state(page, "RESETTING")
    page.locator(".curve .of", has_text=re.compile("^of one episode succeeded$")).wait_for()
    assert page.locator(".curve path.success").get_attribute("d").count("M") == 1, "one episode, counted once"

    # The second episode is held in the middle of a step.
    wait_armed(page, "reset_done")
    page.keyboard.press("r")
    wait_for_state(page, "READY")
    wait_armed(page, "start")
    page.keyboard.press("s")
    prompt_of_step(page, 1)
    page.wait_for_function(
        "parseFloat(getComputedStyle(document.querySelector('.progress')).getPropertyValue('--done')) > 20"
    )
    before, held_s = len(witness.arm), time.monotonic()
    page.keyboard.press("Space")
    wait_for_state(page, "HELD")
    wait_for(lambda: any(state.mode == ArmState.HOLD for _, state in witness.arm[before:]), "HOLD at /arm/state")
    heard = witness.arm[before:]
    first = next(index for index, (_, state) in enumerate(heard) if state.mode == ArmState.HOLD)
    moved = {state.seq for _, state in heard[:first] if state.accepted and state.seq} - {witness.arm[before - 1][1].seq}
    print(
        f"HOLD to /arm/state: {1000 * (heard[first][0] - held_s):.0f} ms, {len(moved)} control periods answered between"
    )
    assert len(moved) <= 1, "the arm stops within one control period"
    assert all(state.mode == ArmState.HOLD for _, state in heard[first:])
    page.locator(".hint", has_text="Clear").wait_for()
    page.click("[data-press=clear]")
    wait_for_state(page, "RESETTING")

    # The third one completes the run.
    wait_armed(page, "reset_done")
    page.click("[data-press=reset_done]")
    wait_armed(page, "start")
    page.click("[data-press=start]")
    prompt_of_step(page, 2)
    page.keyboard.press("y")
    page.locator(".top[data-state=SUCCESS], .top[data-state=FINISHED]").wait_for()
    output = finish(process, 60)
    assert "2 of 2 episodes succeeded" in output
    assert "1 aborted" in output
    assert list(witness.episodes[-1].outcomes) == [Episode.SUCCESS] * 2
    assert page.locator("#lost:not(:empty)").inner_text() == "The run is over, and its console is closed."
