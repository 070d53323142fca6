"""The gate in front of every route, page and websocket: host, origin, session, rate and size of what comes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sarl_ros.console.access import COOKIE, Access, Hosts, RateLimit, Role, same_origin
from sarl_ros.console.connections import LEAST, STATE, Connection, Connections, Doing

MAX_BODY_BYTES = 4096
MAX_MESSAGES_PER_S = 60.0
REQUESTS_PER_S, REQUESTS_AT_ONCE = 40.0, 160.0
FAILED_LOGIN_COST, PAGE_COST, ASSET_COST = 16.0, 4.0, 0.25
ASSETS = "/_nicegui/"
SAFE = ("GET", "HEAD")
HOLD_PATH, LOGIN_PATH, PAGE_PATH = "/api/hold", "/login", "/"
ROLE = "sarl.role"

Scope = dict[str, Any]

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer the login form would name its origin "null"
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' blob: data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status and why, in words for a person."""

    status: int
    why: str


TOO_LARGE = Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
TOO_MANY = Refusal(503, "too many pages are open: close some of them")


@dataclass(frozen=True, slots=True)
class Request:
    """What the gate looks at; header values are empty where there is none.

    Attributes:
        cookies: the values of all cookies that may be sessions. Each of them is tried: a page of another port or path
            may have set one of the same name.
        bearers: likewise, of all Authorization headers.
    """

    method: str
    path: str
    websocket: bool
    client: str
    host: str
    origin: str
    fetch_site: str
    fetch_dest: str
    content_type: str
    content_length: str
    cookies: tuple[str, ...]
    bearers: tuple[str, ...]

    @classmethod
    def of(cls, scope: Scope) -> Request:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

        def one(name: str) -> str:
            return ", ".join(headers.get(name, []))

        return cls(
            method=scope.get("method", "GET"),
            path=scope["path"],
            websocket=scope["type"] == "websocket",
            client=(scope.get("client") or ("", 0))[0],
            host=one("host"),
            origin=one("origin"),
            fetch_site=one("sec-fetch-site"),
            fetch_dest=one("sec-fetch-dest"),
            content_type=one("content-type").partition(";")[0].strip().lower(),
            content_length=one("content-length"),
            cookies=_sessions(headers.get("cookie", [])),
            bearers=_bearers(headers.get("authorization", [])),
        )

    @property
    def changes_state(self) -> bool:
        return self.websocket or self.method not in SAFE

    @property
    def cost(self) -> float:
        """In plain requests: the page takes long to make, and its files, of which it has dozens, next to nothing."""
        return PAGE_COST if self.path == PAGE_PATH else ASSET_COST if self.path.startswith(ASSETS) else 1.0

    @property
    def doing(self) -> Doing:
        if self.websocket:
            return Doing.STREAM
        return Doing.HOLD if self.path == HOLD_PATH else Doing.REQUEST


def _sessions(headers: list[str]) -> tuple[str, ...]:
    """Values of the session cookies in Cookie headers, split as RFC 6265 does it: others may look as they like."""
    pairs = (pair.partition("=") for header in headers for pair in header.split(";"))
    return tuple(value.strip().strip('"') for name, _, value in pairs if name.strip().startswith(COOKIE))


def _bearers(headers: list[str]) -> tuple[str, ...]:
    """Tokens in Authorization headers; other schemes are left alone."""
    parts = (header.split(maxsplit=1) for header in headers)
    return tuple(part[1].strip() for part in parts if len(part) == 2 and part[0].lower() == "bearer")


class Rules:
    """Decides on a request by its headers alone.

    Args:
        clock: seconds on a steady clock.
    """

    def __init__(self, access: Access, hosts: Hosts, clock: Callable[[], float] = time.monotonic) -> None:
        self.access, self.hosts = access, hosts
        self._limit = RateLimit(REQUESTS_PER_S, REQUESTS_AT_ONCE, clock)

    def role(self, request: Request) -> Role:
        if self.access.is_open:
            return Role.OPERATOR
        roles = [self.access.role_of_cookie(value) for value in request.cookies]
        return max(roles + [self.access.role_of_token(token) for token in request.bearers], default=Role.NOBODY)

    def judge(self, request: Request) -> Role | Refusal:
        """The role of whoever asks, or why the request is refused.

        Requests of foreign pages are refused before they count, so that they cannot use up the operator's share.
        HOLD does not count for those who may press it.
        """
        foreign = self._foreign(request)
        if foreign is not None:
            return foreign
        role = self.role(request)
        if not (request.path == HOLD_PATH and role == Role.OPERATOR):
            failed = role == Role.NOBODY and bool(request.cookies or request.bearers)
            cost = FAILED_LOGIN_COST if failed else request.cost
            if not self._limit.allows(f"{request.client} {role.name}", cost):
                return Refusal(429, "too many requests: wait a second; HOLD is always taken")
        return self._admitted(request, role)

    def login_allowed(self, client: str) -> bool:
        """Whether a client may try a token now; each try costs as much as many requests."""
        return self._limit.allows(f"{client} login", FAILED_LOGIN_COST)

    def _foreign(self, request: Request) -> Refusal | None:
        if not self.hosts.serves(request.host):
            return Refusal(421, f"the console does not answer to {request.host[:80]!r}: use its address, or name it")
        if request.origin and request.changes_state and not same_origin(request.origin, request.host):
            return Refusal(403, "refused: sent by a page of another origin")
        followed_link = request.method in SAFE and request.path == PAGE_PATH and request.fetch_dest == "document"
        if request.fetch_site in ("cross-site", "same-site") and not followed_link:
            return Refusal(403, "refused: sent by a page of another site")
        if request.websocket and not request.origin and request.cookies:
            return Refusal(403, "refused: a session's websocket names its origin")
        return None

    def _admitted(self, request: Request, role: Role) -> Role | Refusal:
        if request.content_length and not request.content_length.isdecimal():
            return Refusal(400, "malformed: Content-Length is no number")
        if len(request.content_length) > 9 or int(request.content_length or 0) > MAX_BODY_BYTES:
            return TOO_LARGE
        if request.path == LOGIN_PATH:
            return role
        if role == Role.NOBODY:
            return Refusal(401, "a token is needed: log in, or send it as Authorization: Bearer")
        if request.method not in SAFE and not request.websocket:
            if role != Role.OPERATOR:
                return Refusal(403, "viewers look and do not press")
            if request.content_type != "application/json":
                return Refusal(415, "send JSON: Content-Type application/json")
        return role


class AccessMiddleware:
    """ASGI middleware around the whole console; what passes carries its Role in scope[ROLE]."""

    def __init__(self, app: Any, rules: Rules, login_page: Callable[[str], str]) -> None:
        self.app, self.rules, self._login_page = app, rules, login_page
        self._making_a_page = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request = Request.of(scope)
        verdict = self.rules.judge(request)
        if isinstance(verdict, Refusal):
            await self._refuse(request, verdict, receive, send)
            return
        scope[ROLE] = verdict
        connections, connection = scope.get("state", {}).get(STATE) or _unwatched()
        if verdict != Role.NOBODY:
            connections.asks(connection)
        body = b"" if request.websocket or request.path == HOLD_PATH else await _read(receive)
        if body is None:
            await self._refuse(request, TOO_LARGE, receive, send)
            return
        if verdict != Role.NOBODY and not connections.begins(connection, verdict, request.doing):
            await self._refuse(request, TOO_MANY, receive, send)
            return
        try:
            if request.websocket:
                await self.app(scope, _slowed(receive), send)
            elif request.path == PAGE_PATH:
                await self._page(scope, _given(body, receive), _with_headers(send))
            else:
                await self.app(scope, _given(body, receive), _with_headers(send))
        finally:
            connections.ends(connection)

    async def _page(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pages take long to make: one after the other, so that HOLD never waits for all that are asked for."""
        messages: list[dict[str, Any]] = []

        async def keep(message: dict[str, Any]) -> None:
            messages.append(message)

        async with self._making_a_page:
            await self.app(scope, receive, keep)
        for message in messages:
            await send(message)

    async def _refuse(self, request: Request, refusal: Refusal, receive: Any, send: Any) -> None:
        if request.websocket:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.why})
            return
        wants_page = refusal.status == 401 and request.path == PAGE_PATH and request.method == "GET"
        text = self._login_page("") if wants_page else json.dumps({"error": refusal.why})
        kind = b"text/html; charset=utf-8" if wants_page else b"application/json"
        headers = [(b"content-type", kind), (b"cache-control", b"no-store"), *HEADERS]
        if refusal.status == 429:
            headers.append((b"retry-after", b"1"))
        if refusal.status == 413:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})


def _unwatched() -> tuple[Connections, Connection]:
    """Where another server than the console's own listener serves the gate."""
    connections = Connections(LEAST)
    return connections, connections.opened("")


async def _read(receive: Any) -> bytes | None:
    """The whole body, whatever length it claims; None when it is too large. A client that leaves sends what it did."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _given(body: bytes, receive: Any) -> Any:
    """A body that has been read, then what comes after it."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def wrapped() -> dict[str, Any]:
        return messages.pop() if messages else await receive()

    return wrapped


def _with_headers(send: Any) -> Any:
    async def wrapped(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", [])}
            added = [(name, value) for name, value in HEADERS if name not in names]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return wrapped


def _slowed(receive: Any) -> Any:
    """A websocket's messages, ended when more come than any page sends."""
    limit = RateLimit(MAX_MESSAGES_PER_S, 4 * MAX_MESSAGES_PER_S, time.monotonic)

    async def wrapped() -> dict[str, Any]:
        message = await receive()
        if message["type"] == "websocket.receive" and not limit.allows(""):
            return {"type": "websocket.disconnect", "code": 1008, "reason": "too many messages"}
        return message

    return wrapped
