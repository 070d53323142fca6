"""The page in a browser beside a faked graph: what a tired person does to it, on a desk and on a phone."""

from __future__ import annotations

import shutil
import signal
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from domains import domain_of
from fakes.processes import Starter, wait_for

CHROMIUM = shutil.which("chromium")
OPERATOR, VIEWER = "operator-token-123456", "viewer-token-7890123"
SIZES = {"desk": (1440, 900), "laptop": (1180, 700), "tablet": (820, 1180), "phone": (390, 844), "sideways": (844, 390)}
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install -y chromium")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open an address at a size; pages close with the test."""
    contexts = []

    def begin(address: str, size: str = "desk"):
        width, height = SIZES[size]
        touch = size in ("phone", "sideways")
        contexts.append(
            browser.new_context(viewport=dict(width=width, height=height), has_touch=touch, is_mobile=touch)
        )
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        page.goto(address)
        return page

    yield begin
    for context in contexts:
        context.close()


@pytest.fixture
def start(tmp_path):
    starter = Starter(tmp_path, str(domain_of(__name__)))
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A graph whose episode runs, and its console, for tests that leave them as they are."""
    starter = Starter(tmp_path_factory.mktemp("scene"), str(domain_of(__name__, 1)))
    yield starter.robot("--running"), starter.console()
    starter.end()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def running(page):
    page.locator('.top[data-state="RUNNING"]').wait_for()


def test_an_unarmed_button_says_why_and_presses_nothing(scene, open_page):
    robot, console = scene
    page = open_page(console.address(), "phone")
    running(page)
    page.locator("[data-press=clear]").tap(force=True)
    assert page.locator(".answer.bad").inner_text() == "Clear is not armed: not now"
    page.locator("[data-press=subgoal]").tap()
    page.locator(".answer.good", has_text="Subgoal: subgoal noted").wait_for()
    assert robot.lines("press") == ["press subgoal console"]


@pytest.mark.parametrize("size", SIZES)
def test_hold_and_every_button_are_in_sight_at_every_size_and_nothing_is_cut_off(scene, open_page, size):
    page = open_page(scene[1].address(), size)
    running(page)
    page.locator("[data-press=success].armed").wait_for()
    width, height = SIZES[size]
    boxes = {"hold": page.locator("#hold").bounding_box()}
    for name in ("start", "success", "failure", "reset_done", "subgoal", "abort", "clear"):
        boxes[name] = page.locator(f"[data-press={name}]").bounding_box()
    for name, box in boxes.items():
        assert box["x"] >= 0, name
        assert box["y"] >= 0, name
        assert box["x"] + box["width"] <= width, name
        assert box["y"] + box["height"] <= height, name
        assert box["width"] >= 80, name
        assert box["height"] >= 44, f"{name}: the least that a thumb hits"
    areas = {name: box["width"] * box["height"] for name, box in boxes.items()}
    assert max(areas, key=areas.get) == "hold"
    for name, box in boxes.items():
        for other, its in boxes.items():
            apart = (
                box["x"] + box["width"] <= its["x"] + 0.5
                or its["x"] + its["width"] <= box["x"] + 0.5
                or box["y"] + box["height"] <= its["y"] + 0.5
                or its["y"] + its["height"] <= box["y"] + 0.5
            )
            assert name == other or apart, f"{name} and {other} overlap"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing to scroll sideways"


ATTACK = """<form id=f method=post enctype=text/plain action="{console}/api/hold" target=t>
<input name='{{"a":"' value='"}}'></form>
<iframe name=t></iframe><iframe src="{console}/"></iframe><img src="{console}/api/cameras/front.jpg">
<script>
  const json = {{"Content-Type": "application/json"}}, hold = "{console}/api/hold", tried = [];
  const attempt = (what) => tried.push(Promise.resolve().then(what).then(() => "sent", (error) => "failed"));
  for (const mode of ["cors", "no-cors"])
    for (const headers of [json, {{"Content-Type": "text/plain"}}, {{}}])
      for (const credentials of ["include", "omit"])
        attempt(() => fetch(hold, {{method: "POST", mode, headers, credentials, body: "{{}}"}}));
  attempt(() => navigator.sendBeacon(hold, new Blob(["{{}}"], {{type: "text/plain"}})));
  attempt(() => fetch("{console}/api/state").then((answer) => answer.json()).then(() => {{ window.read = true; }}));
  attempt(() => new Promise((done, fail) => {{
    const socket = new WebSocket("{console}/api/cameras".replace("http", "ws"));
    socket.onmessage = () => {{ window.read = true; done(); }};
    socket.onerror = socket.onclose = fail;
  }}));
  document.getElementById("f").submit();
  Promise.all(tried).then((results) => {{ window.tried = results; }});
</script>"""


def test_a_page_of_somebody_else_in_the_same_browser_can_neither_press_nor_read(scene, open_page, tmp_path):
    robot, console = scene
    (tmp_path / "index.html").write_text(ATTACK.format(console=console.address()))
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own = open_page(console.address())
        running(own)
        page = own.context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function("window.tried")
        assert len(page.evaluate("window.tried")) == 15
        assert page.evaluate("window.read === undefined")
        assert (
            own.evaluate("fetch('/api/state').then((answer) => answer.json()).then((state) => state.episode.state)")
            == "RUNNING"
        )
        server.shutdown()
    assert robot.lines("stop") == []
    assert not [line for line in robot.lines("press") if "hold" in line]


def test_light_and_dark_are_chosen_once_for_a_device(scene, open_page):
    page = open_page(scene[1].address())
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.locator(".theme").click()
    assert page.evaluate(theme) == "light"
    page.reload()
    page.locator(".top").wait_for()
    assert page.evaluate(theme) == "light"


def test_space_holds_from_anywhere_also_while_typing_a_prompt(start, open_page):
    robot, page = start.robot("--running", "--steering"), open_page(start.console().address())
    running(page)
    page.locator(".steering.awaits").wait_for()
    prompt = page.locator(".form input")
    prompt.click()
    page.keyboard.type("lift the hammer up")
    assert prompt.input_value() == "lift the hammer up"
    assert robot.lines("stop") == [], "single spaces are spaces"
    page.keyboard.press("Enter")
    page.locator(".prompt .now", has_text="lift the hammer up").wait_for()
    page.locator(".steering.awaits").wait_for()
    page.locator(".candidate[role=button]").first.click()
    wait_for(lambda: len(robot.lines("steer")) == 2, "the choice of a candidate")
    page.locator(".steering.awaits").wait_for()
    prompt.click()
    page.keyboard.type("oh no  ")
    wait_for(lambda: robot.lines("stop"), "two spaces in a row to hold")
    page.locator('.top[data-state="HELD"]').wait_for()
    before = len(robot.lines("stop"))
    page.locator("[data-press=clear].armed").focus()
    page.keyboard.press("Space")
    wait_for(lambda: len(robot.lines("stop")) > before, "space to hold, whichever button has the focus")
    assert robot.lines("press clear") == []


def test_a_lost_connection_and_a_silent_graph_are_said_loudly_and_pass(start, open_page):
    robot, console = start.robot("--running"), start.console()
    page = open_page(console.address())
    running(page)
    robot.process.send_signal(signal.SIGSTOP)
    page.locator(".banner.silent.shown", has_text="have been silent").wait_for()
    robot.process.send_signal(signal.SIGCONT)
    page.locator(".banner.silent.shown").wait_for(state="hidden")
    assert not page.locator("#lost").is_visible()
    console.process.send_signal(signal.SIGSTOP)
    page.locator("#lost", has_text="No connection to the console").wait_for()
    assert page.locator("#hold").is_visible()
    page.keyboard.press("Space")
    console.process.send_signal(signal.SIGCONT)
    wait_for(lambda: robot.lines("stop"), "the HOLD that was pressed without a connection")
    page.locator("#lost").wait_for(state="hidden")
    page.locator('.top[data-state="HELD"]').wait_for()


def test_a_viewer_sees_the_same_and_cannot_press(start, open_page):
    robot = start.robot("--running")
    console = start.console(SARL_CONSOLE_TOKEN=OPERATOR, SARL_CONSOLE_VIEW_TOKEN=VIEWER)
    page = open_page(console.address())
    page.locator("input[name=token]").fill("wrong")
    page.keyboard.press("Enter")
    page.locator("[role=alert]", has_text="That token is wrong.").wait_for()
    page.locator("input[name=token]").fill(VIEWER)
    page.keyboard.press("Enter")
    running(page)
    assert page.url == f"{console.address()}/"
    assert page.locator("#looking").is_visible()
    assert page.locator("#hold, [data-press], .steering").count() == 0
    page.keyboard.press("Space")
    refused = page.evaluate(
        "fetch('/api/hold', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})"
        ".then((answer) => answer.status)"
    )
    assert refused == 403
    assert robot.lines("stop") == []
    page.goto(f"{console.address()}/login?token={OPERATOR}")
    running(page)
    assert page.url == f"{console.address()}/", "the token does not stay in the address"
    page.keyboard.press("Space")
    wait_for(lambda: robot.lines("stop"), "the operator's hold")
