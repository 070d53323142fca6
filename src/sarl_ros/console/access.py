"""Who may look at the console, who may press its buttons, and which requests are refused before anybody reads them.

A browser on the operator's machine also runs pages of strangers. What they can make it send is refused by its Origin
and Host, a session cookie that is SameSite=Strict and a content type that no form can send; a name of theirs that
resolves to this machine (DNS rebinding) is refused by its Host.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import ipaddress
import os
import socket
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

COOKIE = "sarl_console"
"""How the names of session cookies begin."""
OPERATOR_TOKEN, VIEWER_TOKEN = "SARL_CONSOLE_TOKEN", "SARL_CONSOLE_VIEW_TOKEN"
MIN_TOKEN = 16
MAKE_TOKEN = "python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"


class AccessError(Exception):
    """The console may not be served like this; one line with the remedy."""


class Role(enum.IntEnum):
    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens that open the console; with none, whoever reaches it operates it, which only a loopback address may.

    All comparisons take the same time whatever differs.
    """

    operator_token: str = ""
    viewer_token: str = ""

    @property
    def is_open(self) -> bool:
        return not self.operator_token

    def role_of_token(self, token: str) -> Role:
        """The role that a token gives, however it was sent; NOBODY for a wrong or empty one."""
        return max(self._match(each, self.operator_token, self.viewer_token) for each in _readings(token))

    def role_of_cookie(self, value: str) -> Role:
        """The role that a session cookie gives."""
        return self._match(value, self.cookie(Role.OPERATOR), self.cookie(Role.VIEWER))

    def cookie(self, role: Role) -> str:
        """The session cookie's value of a role; it does not show the token. Empty for a role without a token."""
        return self._derived(role, b"sarl console session")

    def cookie_name(self, role: Role) -> str:
        """The session cookie's name, another one for each token: browsers send the cookies of all ports of a host."""
        return f"{COOKIE}_{self._derived(role, b'sarl console name')[:8]}"

    def _derived(self, role: Role, purpose: bytes) -> str:
        token = {Role.OPERATOR: self.operator_token, Role.VIEWER: self.viewer_token}.get(role, "")
        return hmac.new(token.encode(), purpose, hashlib.sha256).hexdigest() if token else ""

    @staticmethod
    def _match(given: str, operator: str, viewer: str) -> Role:
        role = Role.NOBODY
        for expected, granted in ((viewer, Role.VIEWER), (operator, Role.OPERATOR)):
            if hmac.compare_digest(_digest(given), _digest(expected)) and expected:
                role = granted
        return role


def load_access(
    host: str, token_file: str = "", viewer_token_file: str = "", environment: Mapping[str, str] = os.environ
) -> Access:
    """The tokens from two files, or else from SARL_CONSOLE_TOKEN and SARL_CONSOLE_VIEW_TOKEN.

    There is no parameter for the token itself: parameters are written into the run's folder and its bags.

    Raises:
        AccessError: a file cannot be read, a token is too short, both are the same, or the console is to be reached
            from other machines without one.
    """
    operator = _read_token(token_file, OPERATOR_TOKEN, environment)
    viewer = _read_token(viewer_token_file, VIEWER_TOKEN, environment)
    if not operator and not is_loopback(host):
        raise AccessError(
            f"the console on {host} can be reached from other machines and needs a token: set {OPERATOR_TOKEN} to one"
            f" made by {MAKE_TOKEN}, or serve it on 127.0.0.1"
        )
    if viewer and not operator:
        raise AccessError(f"{VIEWER_TOKEN} without {OPERATOR_TOKEN}: set both, or nobody could press a button")
    if Access(operator).role_of_token(viewer) != Role.NOBODY:
        raise AccessError(f"{VIEWER_TOKEN} is the same as {OPERATOR_TOKEN}: make another one with {MAKE_TOKEN}")
    return Access(operator, viewer)


def _read_token(file: str, variable: str, environment: Mapping[str, str]) -> str:
    token, source = environment.get(variable, ""), file or variable
    if file:
        try:
            token = Path(file).expanduser().read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "is no text"
            raise AccessError(f"token file {file}: {why}; write one with {MAKE_TOKEN} > {file}") from None
    token = unicodedata.normalize("NFC", token.strip())
    if (file or variable in environment) and len(token) < MIN_TOKEN:
        raise AccessError(f"the token in {source} has {len(token)} characters, at least {MIN_TOKEN}: {MAKE_TOKEN}")
    if not token.isprintable():  # bytes of the environment that are no UTF-8 are not printable either
        raise AccessError(f"the token in {source} is not one line that can be typed: make one with {MAKE_TOKEN}")
    return token


def _readings(token: str) -> list[str]:
    """A token as it came, as UTF-8 that was taken for Latin-1 (headers), and with spaces that were a plus (links)."""
    readings = [token, token.replace(" ", "+")]
    try:
        readings.append(token.encode("latin-1").decode())
    except UnicodeError:
        pass
    return [unicodedata.normalize("NFC", each.strip()) for each in readings]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def is_loopback(host: str) -> bool:
    """Whether an address to bind to is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_host(header: str, default_port: int = 80) -> tuple[str, int]:
    """Name and port in a Host header; the name in lowercase, without brackets and a final dot, empty if it is none."""
    try:
        parts = urlsplit(f"//{header}")
        name, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return "", default_port
    whole = header and not set(header) & set("@/?#")
    return (name if whole else ""), (default_port if port is None else port)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names that the console answers to. An address is always one: only names can be pointed elsewhere.

    Attributes:
        bound: address the console is bound to.
        names: further names, such as the one in a DNS server of the lab.
    """

    bound: str
    names: Collection[str] = ()

    def serves(self, header: str) -> bool:
        name, _ = split_host(header)
        if not name:
            return False
        if is_loopback(name):
            return True
        if is_loopback(self.bound):
            return name in self._extra()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            own = socket.gethostname().lower()
            return name in {own, f"{own}.local", own.partition(".")[0], *self._extra()}
        return True

    def _extra(self) -> set[str]:
        return {split_host(_in_ascii(name))[0] for name in self.names}


def _in_ascii(name: str) -> str:
    """A name as browsers send it."""
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the page that the Host header belongs to."""
    scheme, mark, rest = origin.partition("://")
    default_port = {"http": 80, "https": 443}.get(scheme.lower())
    if not mark or default_port is None:
        return False
    named = split_host(rest, default_port)
    return bool(named[0]) and named == split_host(host, default_port)


class RateLimit:
    """A bucket of requests for each client: `rate` a second in the long run, `burst` at once.

    Args:
        clock: seconds on a steady clock.
    """

    MOST_CLIENTS = 2048

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, client: str, cost: float = 1.0) -> bool:
        """Take `cost` out of the client's bucket, or say that it does not hold as much."""
        now_s = self._clock()
        left, at_s = self._buckets.get(client, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._rate)
        allowed = left >= cost
        if client not in self._buckets and len(self._buckets) >= self.MOST_CLIENTS:
            self._forget_idle(now_s)
        self._buckets[client] = (left - cost if allowed else left, now_s)
        return allowed

    def _forget_idle(self, now_s: float) -> None:
        """Drop full buckets, which are as good as new ones; when there are none, all."""
        full_s = self._burst / self._rate
        kept = {client: bucket for client, bucket in self._buckets.items() if now_s - bucket[1] < full_s}
        self._buckets = kept if len(kept) < self.MOST_CLIENTS else {}
