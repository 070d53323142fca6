"""Where the console is served, and how a person reaches it."""

from __future__ import annotations

import contextlib
import errno
import socket


class AddressError(Exception):
    """The console cannot be served at its address; one line with the remedy."""


def parse_address(text: str) -> dict[str, str | int]:
    """HOST:PORT, HOST, PORT or nothing as the console's parameters `host` and `port`, those that it names.

    Raises:
        ValueError: it is none of these.
    """
    host, mark, port = text.rpartition(":")
    if not mark:
        host, port = ("", text) if text.isdecimal() else (text, "")
    host = host.strip("[]")
    if (port and not (port.isdecimal() and int(port) < 65536)) or (mark and not port):
        raise ValueError(f"{text!r} is no address for the console: give HOST:PORT, such as 127.0.0.1:8080")
    return ({"host": host} if host else {}) | ({"port": int(port)} if port else {})


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one.

    Raises:
        AddressError: the port is taken, or the address is not this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with contextlib.ExitStack() as unless_bound:
            bound = unless_bound.enter_context(socket.socket(found[0], found[1]))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(found[4])
            unless_bound.pop_all()
    except (OSError, OverflowError, UnicodeError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise AddressError(
                f"port {port} on {host} is taken: end the other console, or choose another with the console's"
                " parameter `port` (sarl train --console HOST:PORT)"
            ) from None
        raise AddressError(f"the console cannot be served on {host} port {port}: {error}") from None
    return bound


def shown_address(host: str, port: int) -> str:
    """What to type into a browser for a console bound to `host`."""
    if host in ("0.0.0.0", "::"):
        host = _outward_address()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _outward_address() -> str:
    """This machine's address on its default route; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return probe.getsockname()[0]
