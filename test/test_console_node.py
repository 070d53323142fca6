"""The console node as a real process over DDS, with a graph that is faked in another process."""

from __future__ import annotations

import html
import json
import re
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from domains import domain_of
from fakes.processes import WAIT_S, Console, Starter, wait_for
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sarl_ros.ros.node import SETUP_ERROR_EXIT_CODE

OPERATOR, VIEWER = "operator-token-123456", "viewer-token-7890123"


def client_of(console: Console, token: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=console.address(), headers=headers, timeout=10)


def state(client: httpx.Client) -> dict:
    return client.get("/api/state").raise_for_status().json()


@pytest.fixture
def start(tmp_path):
    starter = Starter(tmp_path, str(domain_of(__name__)))
    yield starter
    starter.end()


def test_what_comes_from_the_graph_is_shown_and_what_is_pressed_arrives_once(start):
    robot, console = start.robot("--fault"), start.console()
    client = client_of(console)
    wait_for(lambda: state(client)["episode"]["state"] == "IDLE", "the episode")
    wait_for(lambda: len(state(client)["nodes"]) >= 7, "the heartbeats")
    shown = state(client)
    assert shown["nodes"][0]["title"] == "arm driver"
    assert shown["nodes"][0]["words"][0].startswith("motor 4 (elbow) reports overload")
    assert shown["learner"]["updates_owed"] == 20

    for button, expected in (("start", "RESETTING"), ("reset_done", "READY"), ("start", "RUNNING")):
        wait_for(lambda name=button: armed(client, name), f"{button} armed")
        with ThreadPoolExecutor() as fingers:
            answers = list(fingers.map(lambda _, name=button: press(client, name), range(2)))
        assert answers[0] == answers[1]
        assert answers[0]["accepted"]
        wait_for(lambda end=expected: state(client)["episode"]["state"] == end, expected)
    assert robot.lines("press") == ["press start console", "press reset_done console", "press start console"]
    wait_for(lambda: state(client)["prompt"]["text"], "the prompt")
    assert sum(row["chosen"] for row in state(client)["candidates"]) == 1

    answer = client.post("/api/hold", json={}).json()
    assert answer == {"accepted": True, "detail": "the arm holds"}
    wait_for(lambda: state(client)["arm_mode"] == "hold", "the arm's hold")
    assert robot.lines("stop") == ["stop"]
    assert robot.lines("press hold") == ["press hold console"]
    assert not press(client, "start")["accepted"]
    wait_for(lambda: press(client, "start")["detail"] == "not possible in HELD", "the moment of the hold to pass")
    assert any("Hold (console)" in event["words"] for event in state(client)["events"])


def armed(client: httpx.Client, name: str) -> bool:
    return any(button["armed"] for button in state(client)["buttons"] if button["name"] == name)


def press(client: httpx.Client, button: str) -> dict:
    return client.post("/api/press", json={"button": button}).json()


def test_a_person_takes_over_and_chooses_the_prompt_of_the_decision_that_waits(start):
    robot, console = start.robot("--running", "--steering"), start.console()
    client = client_of(console)
    steering = wait_for(lambda: (found := state(client)["steering"])["awaits"] and found, "a decision to wait")
    choice = {"take_over": True, "prompt": "lift it up.", "episode": steering["episode"], "step": steering["step"]}
    late = choice | {"step": steering["step"] + 5}
    assert not client.post("/api/steer", json=late).json()["accepted"]
    assert client.post("/api/steer", json=choice).json()["accepted"]
    wait_for(lambda: state(client)["prompt"]["text"] == "lift it up.", "the prompt")
    assert state(client)["prompt"]["by_person"]
    assert client.post("/api/steer", json={"take_over": False, "prompt": "", "episode": 0, "step": 0}).json()[
        "accepted"
    ]
    wait_for(lambda: not state(client)["steering"]["on"], "the agent to go on")
    assert robot.lines("steer")[-1].startswith("steer False")


@pytest.mark.parametrize("kind", ["raw", "compressed"])
def test_pictures_come_from_raw_and_compressed_topics(start, kind):
    start.robot(*(["--raw"] if kind == "raw" else []))
    console = start.console()
    with connect(console.address().replace("http", "ws") + "/api/cameras") as pictures:
        seen = set()
        for _ in range(40):
            message = pictures.recv(WAIT_S)
            assert message[1:3] == b"\xff\xd8", "a JPEG"
            seen.add(message[0])
            pictures.send("next")
    assert seen == {0, 1}
    assert client_of(console).get("/api/cameras/front.jpg").headers["content-type"] == "image/jpeg"


def test_a_graph_that_dies_is_said_loudly_and_presses_are_answered_in_words(start):
    robot, console = start.robot("--running"), start.console()
    client = client_of(console)
    wait_for(lambda: state(client)["episode"]["state"] == "RUNNING" and state(client)["nodes"], "the graph")
    assert state(client)["silent"] == ""
    robot.end(signal.SIGKILL)
    wait_for(lambda: "silent for" in state(client)["silent"], "the silence")
    answer = client.post("/api/press", json={"button": "abort"})
    assert answer.status_code == 503
    assert re.search("the operator node (is not there|did not answer)", answer.json()["detail"])
    answer = client.post("/api/hold", json={})
    assert answer.status_code == 503
    assert "use the power switch" in answer.json()["detail"]
    start.robot("--running")
    wait_for(lambda: state(client)["silent"] == "", "the graph again")
    wait_for(lambda: client.post("/api/hold", json={}).json()["accepted"], "a hold to get through again")


def test_with_a_token_nothing_is_served_without_it_and_viewers_only_look(start):
    robot = start.robot("--running")
    console = start.console(SARL_CONSOLE_TOKEN=OPERATOR, SARL_CONSOLE_VIEW_TOKEN=VIEWER)
    nobody, viewer, operator = client_of(console), client_of(console, VIEWER), client_of(console, OPERATOR)
    wait_for(lambda: state(operator)["episode"]["state"] == "RUNNING", "the graph")
    assert nobody.get("/").status_code == 401
    assert nobody.get("/api/state").status_code == 401
    for path in ("/login?token=wrong", f"/?token={OPERATOR}", "/?xtoken=1", "/?a=token=", "/api/state?token=1"):
        answer = nobody.get(path, follow_redirects=False)
        assert answer.status_code == 401, path
        assert "_nicegui" not in answer.text, "nothing but the form"
    for path in ("/_nicegui_ws/socket.io/?EIO=4&transport=websocket", "/api/cameras"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Origin": "http://evil.example"}):
            url = console.address().replace("http", "ws") + path
            with pytest.raises(InvalidStatus), connect(url, additional_headers=headers) as refused:
                refused.recv()
    assert viewer.post("/api/press", json={"button": "abort"}).status_code == 403
    assert viewer.post("/api/hold", json={}).status_code == 403
    assert robot.lines("press") == robot.lines("stop") == []

    # A link with the token logs in once, and the token is gone from the address.
    answer = nobody.get(f"/login?token={OPERATOR}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert nobody.post("/api/press", json={"button": "subgoal"}).json()["accepted"]

    # What the page sends over its own websocket reaches no handler: all that changes anything is behind the gate.
    for client, pressable in ((viewer, False), (operator, True)):
        page = client.get("/").text
        elements = json.loads(html.unescape(re.search(r"parseElements\(String\.raw`(.*?)`\)", page, re.S)[1])).values()
        heard = {event["type"] for element in elements for event in element.get("events", [])}
        assert heard <= {"sub_pages_open", "sub_pages_navigate"}, "NiceGUI's own, of its layout"
        buttons = {element["props"]["data-press"] for element in elements if "data-press" in element.get("props", {})}
        assert ("start" in buttons) == pressable
        assert ('<button id="hold"' in page) == pressable
    assert OPERATOR not in operator.get("/").text


def test_a_flood_and_nonsense_are_refused_while_hold_gets_through_and_the_graph_does_not_notice(start):
    robot, console = start.robot("--running"), start.console()
    client = client_of(console)
    wait_for(lambda: state(client)["episode"]["state"] == "RUNNING", "the graph")
    statuses: list[int] = []

    def flood() -> None:
        with client_of(console) as mine:
            statuses.extend(mine.post("/api/press", content=b"{", headers=kind).status_code for _ in range(200))

    kind = {"Content-Type": "application/json"}
    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: 429 in statuses or not any(thread.is_alive() for thread in threads), "the limit")
    assert client.post("/api/hold", json={}).json()["accepted"]
    for thread in threads:
        thread.join()
    assert set(statuses) == {400, 429}
    assert robot.lines("press") == ["press hold console"]
    with socket.create_connection(client.base_url.netloc.decode().split(":")) as line:
        line.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    large = {"content": b" " * 100_000, "headers": kind}
    wait_for(lambda: client.post("/api/press", **large).status_code == 413, "the share to fill again, and a refusal")
    foreign = client.post("/api/press", json={"button": "clear"}, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    answer = wait_for(
        lambda: (found := client.get("/api/state")).status_code == 200 and found, "the share to fill again"
    )
    assert answer.json()["episode"]["state"] == "HELD"


def test_settings_that_cannot_work_end_the_node_with_the_remedy(start):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    wide = start.console("host:=0.0.0.0")
    busy = start.console(f"port:={port}")
    for console, words in (
        (wide, "needs a token: set SARL_CONSOLE_TOKEN"),
        (busy, f"port {port} on 127.0.0.1 is taken"),
    ):
        assert console.process.wait(30) == SETUP_ERROR_EXIT_CODE
        assert words in console.lines("error: ")[0]
    taken.close()


def test_the_node_ends_in_order_with_a_page_open(start):
    console = start.console()
    address = console.address()
    with connect(address.replace("http", "ws") + "/api/cameras"):
        assert console.end() == 0
    assert json.dumps(console.log.read_text()).count("Traceback") == 0
