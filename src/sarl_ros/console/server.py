"""The console's web server: routes behind the gate, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import html
import json
import socket
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from sarl_ros.console.access import Access, Hosts, Role
from sarl_ros.console.listener import HttpProtocol, Uvicorn, WebsocketProtocol
from sarl_ros.console.middleware import HOLD_PATH, LOGIN_PATH, AccessMiddleware, Rules
from sarl_ros.console.pictures import Pictures
from sarl_ros.console.presses import Answer, Presses
from sarl_ros.console.view import View

COOKIE_LIFE_S = 12 * 3600
MOST_TOKENS = 4
PICTURE_PERIOD_S = 1 / 20
ACKNOWLEDGED_S = 10.0
LEAST_PAUSE_S = 0.005
TELL_PAGES_S, STOP_S = 0.4, 0.5


def asset(name: str) -> str:
    """Text of a file that comes with the console."""
    return resources.files("sarl_ros.console").joinpath("assets", name).read_text()


def login_page(error: str) -> str:
    return asset("login.html").replace("{{error}}", html.escape(error))


class Routes:
    """The plain HTTP routes and the pictures' websocket; everything that changes the graph is here and nowhere else."""

    def __init__(self, access: Access, rules: Rules, presses: Presses, view: Callable[[], View], pictures: Pictures):
        self._access, self._rules, self._presses, self._view, self._pictures = access, rules, presses, view, pictures

    def add_to(self, app: FastAPI) -> None:
        app.add_api_route("/api/state", self.state, methods=["GET"])
        app.add_api_route("/api/press", self.press, methods=["POST"])
        app.add_api_route(HOLD_PATH, self.hold, methods=["POST"])
        app.add_api_route("/api/steer", self.steer, methods=["POST"])
        app.add_api_route("/api/cameras/{name}.jpg", self.picture, methods=["GET"])
        app.add_api_websocket_route("/api/cameras", self.cameras)
        app.add_api_route(LOGIN_PATH, self.login_form, methods=["GET"])
        app.add_api_route(LOGIN_PATH, self.log_in, methods=["POST"])

    async def state(self) -> Response:
        return JSONResponse(self._view().to_json(), headers={"Cache-Control": "no-store"})

    async def press(self, request: HttpRequest) -> Response:
        """{"button": name} to {"accepted": bool, "detail": words}."""
        try:
            (button,) = _fields(await request.body(), button=str)
            return _answered(await self._presses.press(button))
        except ValueError as error:
            return _refused(400, str(error))

    async def hold(self) -> Response:
        return _answered(await self._presses.hold())

    async def steer(self, request: HttpRequest) -> Response:
        """{"take_over": bool, "prompt": text, "episode": n, "step": n}, as `sarl_interfaces/Steer`."""
        try:
            take_over, prompt, episode, step = _fields(
                await request.body(), take_over=bool, prompt=str, episode=int, step=int
            )
            if not 0 <= episode < 2**32 or not 0 <= step < 2**32:
                raise ValueError("malformed: episode and step are counts")
            return _answered(await self._presses.steer(take_over, episode, step, prompt))
        except ValueError as error:
            return _refused(400, str(error))

    async def picture(self, name: str) -> Response:
        """The newest picture of a camera; 503 before the first."""
        if name not in self._pictures.cameras:
            return _refused(404, f"there is no camera {name[:40]!r}: {', '.join(self._pictures.cameras)}")
        self._pictures.look()
        try:
            _, jpeg = await asyncio.to_thread(self._pictures.jpeg, name)
        except ValueError as error:
            return _refused(500, str(error))
        if not jpeg:
            return _refused(503, f"no picture of {name} has come yet: ask again in a moment")
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def cameras(self, socket: WebSocket) -> None:
        """Binary messages of one byte, the camera's index, and a JPEG; the page answers each so that none pile up."""
        await socket.accept()
        answers: asyncio.Queue[bool] = asyncio.Queue()
        reader = asyncio.create_task(_read_answers(socket, answers))
        try:
            await self._send_pictures(socket, answers, reader)
        except (WebSocketDisconnect, TimeoutError, RuntimeError):
            return
        finally:
            reader.cancel()

    async def _send_pictures(self, socket: WebSocket, answers: asyncio.Queue[bool], reader: asyncio.Task) -> None:
        sent = dict.fromkeys(self._pictures.cameras, 0)
        loop = asyncio.get_running_loop()
        while not reader.done():
            began_s, unanswered = loop.time(), 0
            self._pictures.look()
            for index, camera in enumerate(self._pictures.cameras):
                if self._pictures.number(camera) == sent[camera]:
                    continue
                try:
                    sent[camera], jpeg = await asyncio.to_thread(self._pictures.jpeg, camera)
                except ValueError:  # noted by the pictures, shown with the console's faults
                    sent[camera] = self._pictures.number(camera)
                    continue
                await socket.send_bytes(bytes([index]) + jpeg)
                unanswered += 1
            for _ in range(unanswered):
                if not await asyncio.wait_for(answers.get(), ACKNOWLEDGED_S):
                    return
            await asyncio.sleep(max(LEAST_PAUSE_S, PICTURE_PERIOD_S - (loop.time() - began_s)))

    async def login_form(self, request: HttpRequest) -> Response:
        """A form, or what the token in a link leads to."""
        if "token" in request.query_params:
            return self._admit(request, request.query_params.getlist("token"))
        return HTMLResponse(login_page(""), headers={"Cache-Control": "no-store"})

    async def log_in(self, request: HttpRequest) -> Response:
        body = urllib.parse.parse_qs((await request.body()).decode(errors="replace"))
        return self._admit(request, body.get("token", []))

    def _admit(self, request: HttpRequest, tokens: Sequence[str]) -> Response:
        """A session for the best of the tokens, and the page without them in its address."""
        client = request.client.host if request.client else ""
        if not self._rules.login_allowed(client):
            return HTMLResponse(login_page("Too many tries. Wait a moment."), 429)
        role = max(map(self._access.role_of_token, tokens[:MOST_TOKENS]), default=Role.NOBODY)
        if role == Role.NOBODY:
            return HTMLResponse(login_page("That token is wrong."), 401)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self._access.cookie_name(role),
            self._access.cookie(role),
            max_age=COOKIE_LIFE_S,
            httponly=True,
            samesite="strict",
            path="/",
        )
        return response


async def _read_answers(socket: WebSocket, answers: asyncio.Queue[bool]) -> None:
    """Put True for each message of the page, and False when it has gone."""
    try:
        while (await socket.receive())["type"] == "websocket.receive":
            answers.put_nowait(True)
    finally:
        answers.put_nowait(False)


def _fields(body: bytes, **kinds: type) -> list[Any]:
    """The values of exactly these fields of a JSON object.

    Raises:
        ValueError: it is something else, in words.
    """
    wanted = ", ".join(f"{name} ({kind.__name__})" for name, kind in kinds.items())
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"malformed: send a JSON object with {wanted}") from None
    if not isinstance(value, dict) or set(value) != set(kinds):
        raise ValueError(f"malformed: send a JSON object with {wanted} and nothing else")
    for name, kind in kinds.items():
        if type(value[name]) is not kind:
            raise ValueError(f"malformed: {name} is to be {kind.__name__}")
    return [value[name] for name in kinds]


def _answered(answer: Answer) -> Response:
    body = {"accepted": answer.accepted, "detail": answer.detail}
    return JSONResponse(body, 200 if answer.reached else 503, headers={"Cache-Control": "no-store"})


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status, headers={"Cache-Control": "no-store"})


class Server:
    """Serves the console until closed.

    Args:
        bound: from `bind`.
        graph: the calls into the graph. They are awaited on the server's loop.
        show_page: adds the page to the app; see `page.add_page`.
    """

    def __init__(
        self,
        bound: socket.socket,
        access: Access,
        hosts: Hosts,
        presses: Presses,
        view: Callable[[], View],
        pictures: Pictures,
        show_page: Callable[[FastAPI], None],
    ) -> None:
        self._bound = bound
        rules = Rules(access, hosts)
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        routes = Routes(access, rules, presses, view, pictures)
        routes.add_to(app)
        show_page(app)
        config = uvicorn.Config(
            AccessMiddleware(app, rules, login_page),
            http=HttpProtocol,
            ws=WebsocketProtocol,
            log_level="error",  # nonsense that is sent to the port would fill the log
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=65536,
            timeout_graceful_shutdown=1,
            lifespan="on",
        )
        self._server = Uvicorn(config, bound)
        self._thread = threading.Thread(target=self._server.run, name="console server", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_serving(self) -> bool:
        return self._server.started and self._thread.is_alive()

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        """End within a second: pages that are open are told, and not waited for."""
        self._server.should_exit = True
        self._thread.join(timeout=TELL_PAGES_S)
        self._server.force_exit = True
        self._thread.join(timeout=STOP_S)
        self._bound.close()
