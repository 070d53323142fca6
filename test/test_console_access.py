"""Who gets in, who may press, and what is refused with which status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import unicodedata
import urllib.parse

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from sarl_ros.console.access import COOKIE, Access, AccessError, Hosts, RateLimit, Role, load_access, same_origin
from sarl_ros.console.address import AddressError, bind, parse_address, shown_address
from sarl_ros.console.graph_state import GraphState
from sarl_ros.console.middleware import MAX_BODY_BYTES, REQUESTS_AT_ONCE, ROLE, AccessMiddleware, Request, Rules
from sarl_ros.console.pictures import Pictures
from sarl_ros.console.presses import Answer, Presses
from sarl_ros.console.server import Routes, login_page

OPERATOR, VIEWER = "operator-token-123456", "viewer-token-7890123"
HERE = "http://127.0.0.1:8080"


class Graph:
    def __init__(self):
        self.calls = []

    async def press(self, button):
        self.calls.append(button)
        return Answer(True, "done")

    async def stop_arm(self):
        self.calls.append("stop")
        return Answer(True, "held")

    async def steer(self, *call):
        self.calls.append(call)
        return Answer(True, "done")


class Console:
    """The console without its page, behind its gate; time stands still unless it is moved."""

    def __init__(self, access=None, bound="127.0.0.1", names=()):
        self.now, self.graph = 0.0, Graph()
        access = access if access is not None else Access(OPERATOR, VIEWER)
        rules = Rules(access, Hosts(bound, names), lambda: self.now)
        self.board = GraphState(0.0)
        self.pictures = Pictures(("front",), lambda: self.now)
        app = FastAPI(openapi_url=None)
        routes = Routes(access, rules, Presses(self.graph), lambda: self.board.view(self.now), self.pictures)
        routes.add_to(app)

        @app.get("/")
        async def page():
            return {"page": True}

        self.gate = AccessMiddleware(app, rules, login_page)

    def ask(self, method, path, *, token=OPERATOR, content=None, body=None, **headers):
        """One request; `headers` take _ for -. The body is JSON unless `content` is given."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            content, sent = json.dumps(body), {"Content-Type": "application/json"} | sent

        async def run():
            transport = httpx.ASGITransport(self.gate, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
                return await client.request(method, path, content=content, headers=sent)

        return asyncio.run(run())

    def bearing(self, *authorization):
        """The state, asked for with these Authorization headers."""

        async def run():
            transport = httpx.ASGITransport(self.gate, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
                return await client.get("/api/state", headers=[(b"Authorization", value) for value in authorization])

        self.now += 60
        return asyncio.run(run())

    def press(self, button="start", **options):
        return self.ask("POST", "/api/press", body={"button": button}, **options)


@pytest.fixture
def console():
    return Console()


# Tokens.


def test_a_console_for_this_machine_alone_needs_no_token():
    assert load_access("127.0.0.1", environment={}).is_open
    assert load_access("::1", environment={}).is_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "robot.lab", ""])
def test_a_console_for_others_does_not_start_without_a_token(host):
    with pytest.raises(AccessError, match="needs a token: set SARL_CONSOLE_TOKEN"):
        load_access(host, environment={})
    assert not load_access(host, environment={"SARL_CONSOLE_TOKEN": OPERATOR}).is_open


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"SARL_CONSOLE_TOKEN": ""}, "0 characters"),
        ({"SARL_CONSOLE_TOKEN": "short"}, "5 characters, at least 16"),
        ({"SARL_CONSOLE_VIEW_TOKEN": VIEWER}, "without SARL_CONSOLE_TOKEN"),
        ({"SARL_CONSOLE_TOKEN": VIEWER, "SARL_CONSOLE_VIEW_TOKEN": VIEWER}, "is the same"),
    ],
)
def test_tokens_that_protect_nothing_are_refused(environment, words):
    with pytest.raises(AccessError, match=words):
        load_access("127.0.0.1", environment=environment)


def test_a_token_file_counts_before_the_environment_and_is_named_when_it_cannot_be_read(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{OPERATOR}\n")
    access = load_access("0.0.0.0", str(file), environment={"SARL_CONSOLE_TOKEN": "another-token-of-mine"})
    assert access.role_of_token(OPERATOR) == Role.OPERATOR
    with pytest.raises(AccessError, match=f"{tmp_path}/none"):
        load_access("0.0.0.0", f"{tmp_path}/none", environment={})


@pytest.mark.parametrize(
    "token", ["schlüssel-für-den-roboter", "ключ-от-робота-123", "a+b/c+d/e+f/g+h=", "zwei wörter als token"]
)
def test_a_token_opens_the_console_however_a_browser_or_a_script_sends_it(token, tmp_path):
    file = tmp_path / "token"
    file.write_bytes(b"\xef\xbb\xbf" + unicodedata.normalize("NFD", token).encode() + b"\r\n")
    access = load_access("0.0.0.0", str(file), environment={})
    console = Console(access)
    sent = [token.encode(), unicodedata.normalize("NFD", token).encode()]
    with contextlib.suppress(UnicodeEncodeError):
        sent.append(token.encode("latin-1"))
    for value in sent:
        for scheme in (b"Bearer ", b"bearer  ", b"BEARER\t"):
            assert console.bearing(scheme + value).status_code == 200
    assert console.bearing(b"Basic YTpi", b"Bearer " + sent[0]).status_code == 200, "a proxy may add its own"
    assert console.bearing(b"Basic " + sent[0]).status_code == 401
    form = urllib.parse.urlencode({"token": token})
    assert console.ask("POST", "/login", token="", content=form).status_code == 303
    assert console.ask("GET", f"/login?{form}", token="").status_code == 303
    assert console.ask("GET", f"/login?token={token}", token="").status_code == 303, "copied into a link as it is"
    assert console.ask("GET", f"/login?token=wrong&{form}", token="").status_code == 303


def test_a_token_that_nobody_can_send_is_refused_at_the_start(tmp_path):
    for bad in ("two-lines-of\ntoken-text", "a-bell-in-\a-a-token", "not-\udcfc-utf-8-at-all"):
        with pytest.raises(AccessError, match="SARL_CONSOLE_TOKEN is not one line that can be typed"):
            load_access("127.0.0.1", environment={"SARL_CONSOLE_TOKEN": bad})
    for viewer in ("a b c d e f g h i", unicodedata.normalize("NFD", "schlüssel-für-den-roboter")):
        operator = "schlüssel-für-den-roboter" if "ss" in viewer else "a+b+c+d+e+f+g+h+i"
        with pytest.raises(AccessError, match="is the same"):
            load_access("::1", environment={"SARL_CONSOLE_TOKEN": operator, "SARL_CONSOLE_VIEW_TOKEN": viewer})


@given(st.text(max_size=40))
def test_no_other_text_is_a_token_or_a_session(text):
    access = Access(OPERATOR, VIEWER)
    assert access.role_of_token(text) == {OPERATOR: Role.OPERATOR, VIEWER: Role.VIEWER}.get(text, Role.NOBODY)
    assert access.role_of_cookie(text) == Role.NOBODY
    assert Access(OPERATOR).role_of_token("") == Role.NOBODY


def test_a_session_does_not_show_its_token_and_ends_with_it():
    access = Access(OPERATOR, VIEWER)
    assert OPERATOR not in access.cookie(Role.OPERATOR)
    assert access.role_of_cookie(access.cookie(Role.OPERATOR)) == Role.OPERATOR
    assert access.role_of_cookie(access.cookie(Role.VIEWER)) == Role.VIEWER
    assert Access("a-new-operator-token", VIEWER).role_of_cookie(access.cookie(Role.OPERATOR)) == Role.NOBODY
    assert Access(OPERATOR).role_of_cookie(Access(OPERATOR).cookie(Role.VIEWER)) == Role.NOBODY


# Requests.


@pytest.mark.parametrize("path", ["/api/press", "/api/hold", "/api/steer"])
@pytest.mark.parametrize(("token", "status"), [("", 401), ("a-wrong-token-0000", 401), (VIEWER, 403)])
def test_only_the_operator_presses(console, path, token, status):
    answer = console.ask("POST", path, token=token, body={"button": "start"})
    assert answer.status_code == status
    assert "error" in answer.json()
    assert console.graph.calls == []


def test_the_operator_presses_holds_and_steers(console):
    assert console.press().json() == {"accepted": True, "detail": "done"}
    steered = console.ask("POST", "/api/steer", body={"take_over": True, "prompt": "lift up.", "episode": 1, "step": 2})
    assert steered.status_code == 200
    assert console.ask("POST", "/api/hold").status_code == 415
    assert console.ask("POST", "/api/hold", body={}).json() == {"accepted": True, "detail": "the arm holds"}
    assert console.graph.calls == ["start", (True, 1, 2, "lift up."), "stop", "hold"]


def test_viewers_and_scripts_read_the_state_and_nobody_else_does(console):
    assert console.ask("GET", "/api/state", token=VIEWER).json()["episode"]["state"] == "WAITING"
    assert console.ask("GET", "/api/state", token="").status_code == 401
    assert console.ask("GET", "/api/cameras/front.jpg", token="").status_code == 401
    assert console.ask("GET", "/api/cameras/front.jpg", token=VIEWER).status_code == 503
    console.pictures.put("front", lambda: b"jpeg")
    assert console.ask("GET", "/api/cameras/front.jpg", token=VIEWER).content == b"jpeg"
    assert console.ask("GET", "/api/cameras/back.jpg").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://127.0.0.1:8080.evil.example"},
        {"Origin": "http://127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_page_of_another_origin_cannot_press_even_with_the_operators_session(headers):
    for console in (Console(), Console(Access())):
        session = {"Cookie": f"{COOKIE}={Access(OPERATOR, VIEWER).cookie(Role.OPERATOR)}"}
        for path in ("/api/press", "/api/hold"):
            answer = console.ask("POST", path, token="", body={"button": "start"}, **headers, **session)
            assert answer.status_code == 403
        assert console.graph.calls == []


def test_a_link_on_another_page_may_lead_to_the_console_and_nothing_else_of_it_may_be_fetched(console):
    def status(dest, path="/"):
        return console.ask("GET", path, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest=dest).status_code

    assert status("document") == 200
    assert [status(dest) for dest in ("image", "iframe", "script", "empty", "")] == [403] * 5
    assert status("document", "/api/state") == 403
    assert status("image", "/api/cameras/front.jpg") == 403


def test_the_consoles_own_page_presses_with_its_session(console):
    session = {"Cookie": f"other=1; {COOKIE}={Access(OPERATOR, VIEWER).cookie(Role.OPERATOR)}"}
    assert console.press(token="", Origin=HERE, Sec_Fetch_Site="same-origin", **session).status_code == 200


SESSION = Access(OPERATOR, VIEWER).cookie(Role.OPERATOR)
OTHERS = (
    'theme={"name":"dark"}',
    'a="unclosed',
    "no equals sign",
    "=no name",
    "",
    " ; ;; ",
    "umlaut=grün",
    "comma=a,b",
    f"{COOKIE}=of-another-path",
    f"{COOKIE}_0123abcd={'0' * 64}",
    f"x{COOKIE}={SESSION}x",
    "$Version=1",
    "expires=Thu, 26 Nov 2026 03:28:29 GMT",
    "large=" + "x" * 4000,
)


@pytest.mark.parametrize("other", OTHERS)
def test_the_session_is_found_whatever_other_servers_of_the_host_have_set(console, other):
    for header in (
        f"{other}; {COOKIE}={SESSION}",
        f"{COOKIE}={SESSION}; {other}",
        f"{other};{COOKIE} = {SESSION};{other}",
    ):
        assert console.ask("POST", "/api/hold", token="", body={}, Cookie=header.encode()).status_code == 200
    assert console.ask("GET", "/api/state", token="", Cookie=other.encode()).status_code == 401


cookie_text = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters=";"), max_size=30)


@given(st.lists(cookie_text, max_size=6), st.lists(cookie_text, max_size=6), st.booleans())
def test_any_cookies_before_and_after_the_session_leave_it_as_it_is(before, after, in_two_headers):
    session = f"{COOKIE}={SESSION}"
    headers = (
        [";".join(before), ";".join([session, *after])] if in_two_headers else [";".join([*before, session, *after])]
    )
    request = Request.of(
        {"type": "http", "path": "/", "headers": [(b"Cookie", each.encode("latin-1")) for each in headers]}
    )
    rules = Rules(Access(OPERATOR, VIEWER), Hosts("127.0.0.1"))
    assert rules.role(request) == Role.OPERATOR
    without = [";".join([*before, *after]).encode("latin-1")]
    assert (
        rules.role(Request.of({"type": "http", "path": "/", "headers": [(b"cookie", each) for each in without]}))
        == Role.NOBODY
    )


def test_two_consoles_of_one_host_leave_each_other_their_sessions():
    robots = [Console(Access(f"token-of-robot-{name}")) for name in "ab"]
    jar = httpx.Cookies()
    for robot, name in zip(robots, "ab", strict=True):
        answer = robot.ask("POST", "/login", token="", content=f"token=token-of-robot-{name}")
        jar.update(answer.cookies)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar.jar)
    for robot in robots:
        assert robot.press(token="", Cookie=cookies).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_form_can_send_is_refused(content_type):
    console = Console(Access())
    answer = console.ask("POST", "/api/press", token="", content='{"button": "start"}', Content_Type=content_type)
    assert answer.status_code == 415
    assert console.graph.calls == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "", "127.0.0.1.evil.example", "a@127.0.0.1"])
def test_a_name_that_was_pointed_at_this_machine_is_refused(host):
    console = Console(Access())
    answer = console.press(token="", Host=host, Origin=f"http://{host}")
    assert answer.status_code == 421
    assert console.ask("GET", "/api/state", token="", Host=host).status_code == 421
    assert console.graph.calls == []


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("LOCALHOST:8080", "http://localhost:8080"),
        ("localhost.:8080", "http://localhost.:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("localhost", "HTTPS://LocalHost:443"),
    ],
)
def test_the_console_knows_its_own_address_however_it_is_written(host, origin):
    console = Console(Access())
    assert console.press(token="", Host=host, Origin=origin).status_code == 200


@given(st.text(max_size=20))
def test_no_other_host_is_ever_served_from_this_machine_alone(text):
    name = text.lower().rpartition(":")[0] or text.lower()
    local = name.strip("[].").startswith(("localhost", "127.", "::1", "0:", "::ffff:127"))
    assert local or not Hosts("127.0.0.1").serves(text)


def test_addresses_own_names_and_named_ones_are_served_when_bound_wider():
    hosts = Hosts("0.0.0.0", ["Robot.Lab.", "münchen.lab"])
    assert all(hosts.serves(name) for name in ("10.0.0.5:8080", "[fe80::1]:8080", "robot.lab:8080", "localhost"))
    assert all(hosts.serves(name) for name in ("ROBOT.LAB.:8080", "xn--mnchen-3ya.lab"))
    assert not any(hosts.serves(name) for name in ("evil.example", "robot.lab.evil.example", "", "robot.lab@x"))
    assert not Hosts("127.0.0.1").serves("10.0.0.5:8080")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"start"',
        b'{"button": 1}',
        b'{"button": true}',
        b"{}",
        b'{"button": "dance"}',
        b'{"button": "start", "more": 1}',
        b"[" * 2000,
    ],
)
def test_a_malformed_press_is_a_bad_request(console, content):
    answer = console.ask("POST", "/api/press", content=content, Content_Type="application/json")
    assert answer.status_code == 400
    assert console.graph.calls == []


@pytest.mark.parametrize(
    "change", [{"episode": -1}, {"episode": "1"}, {"take_over": 1}, {"prompt": "a\nb"}, {"step": 1.5}, {"step": 2**40}]
)
def test_a_malformed_choice_is_a_bad_request(console, change):
    body = {"take_over": True, "prompt": "", "episode": 0, "step": 0} | change
    assert console.ask("POST", "/api/steer", body=body).status_code == 400
    assert console.graph.calls == []


def test_a_large_body_is_refused_whether_or_not_it_says_how_large_it_is(console):
    large = b" " * (MAX_BODY_BYTES + 1)
    answer = console.ask("POST", "/api/press", content=large, Content_Type="application/json")
    assert answer.status_code == 413

    async def pieces():
        for _ in range(10):
            yield b" " * 1000

    answer = console.ask("POST", "/api/press", content=pieces(), Content_Type="application/json")
    assert answer.status_code == 413
    answer = console.ask("POST", "/api/press", content=b"{}", Content_Type="application/json", Content_Length="x")
    assert answer.status_code == 400
    answer = console.ask(
        "POST", "/api/press", content=b"{}", Content_Type="application/json", Content_Length="9" * 5000
    )
    assert answer.status_code == 413
    assert console.graph.calls == []


def test_two_hundred_requests_a_second_are_refused_and_hold_is_not(console):
    statuses = []
    for index in range(400):
        console.now = index / 200
        statuses.append(console.ask("GET", "/api/state").status_code)
    assert statuses[:150] == [200] * 150
    assert statuses.count(429) > 100
    assert console.press().status_code == 429
    assert console.ask("POST", "/api/hold", body={}).status_code == 200
    assert console.ask("GET", "/api/state", token=VIEWER).status_code == 200, "the viewers have a share of their own"
    console.now += 5
    assert console.press().status_code == 200


def test_a_foreign_page_cannot_use_up_the_operators_share():
    console = Console(Access())
    for _ in range(int(2 * REQUESTS_AT_ONCE)):
        assert console.press(token="", Origin="http://evil.example").status_code == 403
    assert console.press(token="").status_code == 200


def test_guessing_tokens_is_slow_also_by_way_of_hold(console):
    statuses = [console.ask("POST", "/api/hold", token=f"a-wrong-token-{n}", body={}).status_code for n in range(40)]
    assert statuses.count(401) <= 10
    statuses = [console.ask("POST", "/login", token="", content=f"token=guess-{n}").status_code for n in range(40)]
    assert statuses.count(401) <= 10
    assert console.ask("POST", "/api/hold", body={}).status_code == 200, "the operator still holds"


def test_logging_in_gives_a_session_that_scripts_and_other_sites_cannot_use(console):
    answer = console.ask("POST", "/login", token="", content=f"token={OPERATOR}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert OPERATOR not in cookie
    assert console.press(token="", Cookie=cookie.split(";")[0]).status_code == 200
    assert console.ask("POST", "/login", token="", content="token=wrong").status_code == 401
    foreign = console.ask("POST", "/login", token="", content=f"token={OPERATOR}", Origin="http://evil.example")
    assert foreign.status_code == 403


def test_without_a_session_the_page_asks_for_the_token_and_everything_else_just_refuses(console):
    answer = console.ask("GET", "/", token="")
    assert answer.status_code == 401
    assert "<form" in answer.text
    assert console.ask("GET", "/_nicegui/anything", token="").json()["error"].startswith("a token is needed")


def test_pages_are_made_one_after_the_other_and_hold_is_not_kept_waiting_for_them(console):
    made, holds = [], []

    async def app(scope, receive, send):
        if scope["path"] == "/api/hold":
            holds.append(len(made))
        else:
            made.append("begun")
            for _ in range(5):
                await asyncio.sleep(0)
            made.append("done")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    async def run():
        transport = httpx.ASGITransport(AccessMiddleware(app, console.gate.rules, login_page))
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        async with httpx.AsyncClient(transport=transport, base_url=HERE, headers=headers) as client:
            pages = [asyncio.create_task(client.get("/")) for _ in range(8)]
            answers = [await client.post("/api/hold", json={}), *await asyncio.gather(*pages)]
        assert [answer.status_code for answer in answers] == [200] * 9

    asyncio.run(run())
    assert made == ["begun", "done"] * 8
    assert holds[0] < len(made)


def test_every_answer_forbids_framing_foreign_scripts_and_referrers(console):
    for answer in (console.ask("GET", "/api/state"), console.ask("GET", "/", token="")):
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


# Websockets.


def connect(console, path="/api/cameras", **headers):
    """What the gate does with a websocket: the role that it passes on, or the close message."""
    sent, passed = [], []

    async def inner(scope, receive, send):
        passed.append(scope[ROLE])

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    console.gate.app = inner
    scope = {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [
            (name.replace("_", "-").lower().encode(), value.encode())
            for name, value in ({"Host": "127.0.0.1:8080"} | headers).items()
        ],
    }
    asyncio.run(console.gate(scope, receive, send))
    return passed[0] if passed else sent[-1]["type"]


@pytest.mark.parametrize("path", ["/api/cameras", "/_nicegui_ws/socket.io/"])
def test_websockets_need_a_session_of_the_same_origin(console, path):
    cookie = {"Cookie": f"{COOKIE}={Access(OPERATOR, VIEWER).cookie(Role.VIEWER)}"}
    assert connect(console, path, Origin=HERE, **cookie) == Role.VIEWER
    assert connect(console, path, Origin=HERE) == "websocket.close"
    assert connect(console, path, Origin="http://evil.example", **cookie) == "websocket.close"
    assert connect(console, path, **cookie) == "websocket.close", "a browser names its origin"
    assert connect(console, path, Origin="http://evil.example", Host="evil.example", **cookie) == "websocket.close"
    assert connect(console, path, Authorization=f"Bearer {VIEWER}") == Role.VIEWER


def test_an_open_console_refuses_foreign_websockets_too():
    console = Console(Access())
    assert connect(console, Origin="http://evil.example") == "websocket.close"
    assert connect(console, Origin=HERE) == Role.OPERATOR


# Values.


@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abc")), max_size=120),
    st.floats(1, 50),
    st.floats(1, 50),
)
def test_no_client_ever_gets_more_than_its_rate_and_burst(requests, rate, burst):
    now, granted = 0.0, dict.fromkeys("abc", 0)
    limit = RateLimit(rate, burst, lambda: now)
    for pause, client in requests:
        now += pause / rate
        granted[client] += limit.allows(client)
    assert all(count <= burst + rate * now + 1e-6 for count in granted.values())


def test_a_flood_of_clients_does_not_grow_the_memory():
    limit = RateLimit(1.0, 2.0, lambda: 0.0)
    for number in range(3 * RateLimit.MOST_CLIENTS):
        assert limit.allows(str(number))
    assert len(limit._buckets) <= RateLimit.MOST_CLIENTS


def test_origins_are_compared_with_the_whole_host():
    assert same_origin("http://127.0.0.1:8080", "127.0.0.1:8080")
    assert same_origin("https://robot.lab", "Robot.lab")
    assert not same_origin("file://", "")
    assert not same_origin("http://[bad", "127.0.0.1")
    assert not same_origin("http://robot.lab@evil.example", "robot.lab")
    assert not same_origin("http://robot.lab:x", "robot.lab:x")
    assert not same_origin("https://robot.lab", "robot.lab:80")
    assert not same_origin("robot.lab", "robot.lab")


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {}),
        ("8081", {"port": 8081}),
        ("0.0.0.0", {"host": "0.0.0.0"}),
        ("0.0.0.0:9000", {"host": "0.0.0.0", "port": 9000}),
        ("[::1]:9000", {"host": "::1", "port": 9000}),
        (":9000", {"port": 9000}),
    ],
)
def test_addresses_are_read_in_the_usual_forms(text, parameters):
    assert parse_address(text) == parameters


@pytest.mark.parametrize("text", ["127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", ":"])
def test_what_is_no_address_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"give HOST:PORT, such as 127\.0\.0\.1:8080"):
        parse_address(text)


def test_a_taken_port_is_named_with_the_remedy():
    first = bind("127.0.0.1", 0)
    first.listen()
    port = first.getsockname()[1]
    with pytest.raises(AddressError, match=f"port {port} on 127.0.0.1 is taken: end the other console, or choose"):
        bind("127.0.0.1", port)
    first.close()
    with pytest.raises(AddressError, match=r"cannot be served on 203\.0\.113\.9"):
        bind("203.0.113.9", 8080)
    with pytest.raises(AddressError, match=r"cannot be served on a\.\.b"):
        bind("a..b", 8080)
    assert shown_address("127.0.0.1", port) == f"http://127.0.0.1:{port}"
    assert not shown_address("0.0.0.0", 80).startswith("http://0.")
