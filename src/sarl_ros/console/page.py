"""The page: NiceGUI draws it and keeps it current; what it sends goes through the plain routes, see page.js."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request
from nicegui import app as nicegui_app
from nicegui import ui

from sarl_ros.console import panels
from sarl_ros.console.access import Role
from sarl_ros.console.middleware import ROLE
from sarl_ros.console.server import asset
from sarl_ros.console.view import View
from sarl_ros.console.widgets import box

REFRESH_S = 0.1
RECONNECT_S = 10.0
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#11151a"/>'
    '<rect x="8" y="8" width="16" height="16" rx="3" fill="#d4202c"/></svg>'
)
VIEWPORT = "width=device-width, initial-scale=1, viewport-fit=cover"


def add_page(app: FastAPI, view: Callable[[], View], cameras: tuple[str, ...]) -> None:
    """Serve the page at / of the app."""
    style, script = asset("style.css"), asset("page.js")

    @ui.page("/", title="Robot console", viewport=VIEWPORT, favicon=ICON)
    def console(request: Request) -> None:
        role: Role = request.scope[ROLE]
        ui.add_head_html(f'<meta name="theme-color" content="#0a0c0f"><style>{style}</style>')
        ui.add_body_html(_outside_of_vue(role))
        ui.add_body_html(f"<script>{script}</script>")
        _Page(view, cameras, role)

    nicegui_app.config.socket_io_js_transports = ["websocket"]
    ui.run_with(
        app,
        dark=None,
        tailwind=False,
        language="en-US",
        reconnect_timeout=RECONNECT_S,
        show_welcome_message=False,
        gzip_middleware_factory=None,
    )


def _outside_of_vue(role: Role) -> str:
    """HOLD, the loss of connection and the answers to presses, which must not depend on the page's own machinery."""
    hold = (
        '<button id="hold" type="button" aria-keyshortcuts="Space"><span class="word">HOLD</span>'
        '<span class="key">space</span></button>'
        if role == Role.OPERATOR
        else '<div id="looking">You are looking on. Only the operator can press.</div>'
    )
    return (
        f'<div id="lost" class="banner" role="alert"></div><div id="answers" role="log" aria-live="polite"></div>{hold}'
        f'<script>document.documentElement.dataset.role = "{role.name.lower()}";</script>'
    )


class _Page:
    def __init__(self, view: Callable[[], View], cameras: tuple[str, ...], role: Role) -> None:
        self._view = view
        with box("console"):
            self._parts: list = [panels.Top()]
            with box("main", "main"):
                with box("column seeing"):
                    self._parts.append(panels.Cameras(cameras))
                with box("column deciding"):
                    self._parts.append(panels.Prompt())
                    if role == Role.OPERATOR:
                        self._parts.append(panels.Steering())
                    self._parts.append(panels.Candidates())
                with box("column knowing"):
                    self._parts += [panels.Health(), panels.Curve(), panels.Learner(), panels.Log()]
            if role == Role.OPERATOR:
                self._parts.append(panels.Dock())
        self._show()
        ui.timer(REFRESH_S, self._show)

    def _show(self) -> None:
        view = self._view()
        for part in self._parts:
            part.show(view)
