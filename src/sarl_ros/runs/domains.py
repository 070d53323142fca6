"""ROS domains of this machine: a run claims one for as long as any process of it lives.

Nodes hear each other where domain and network are the same, so a claim is a name of the network's as well: an abstract
socket (unix(7)), one for all users and for the containers on the host's network. Every node of a run holds it, and the
kernel frees it when the last of them has ended, however it ended.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sarl_ros.core.environment import domain_remedy
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunError

VARIABLE = "ROS_DOMAIN_ID"
DOMAINS = range(30, 100)
ROBOT_DOMAINS = range(1)
"""Where the driver of a real arm is unless ROS_DOMAIN_ID says otherwise."""

_kept: dict[int, socket.socket] = {}


def claim_domain(
    domains: range = DOMAINS, wanted: str | None = None, named: str = VARIABLE
) -> tuple[int, socket.socket]:
    """A ROS domain that no other run on this machine uses, and the socket that keeps it so until it is closed.

    Args:
        domains: one of these.
        wanted: this one instead, unless it is empty; None for what ROS_DOMAIN_ID says.
        named: where a person sets it, for what is said to them.

    Raises:
        RunError: the domain is taken, or all are; or it is no domain's number.
    """
    wanted = os.environ.get(VARIABLE, "") if wanted is None else wanted
    if wanted.strip():
        number = _number(wanted, named)
        domains = range(number, number + 1)
    for number in domains:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(_name(number))
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        return number, claim
    if len(domains) == 1:
        holder = holders_of_domain(domains[0]) or "another run"
        raise RunError(
            f"ROS domain {domains[0]} is in use by {holder}: end that, or choose another domain with {named}"
        )
    raise RunError(f"ROS domains {domains[0]} to {domains[-1]} are all in use: end another run first")


@contextmanager
def own_domain(
    domains: range = DOMAINS, wanted: str | None = None, named: str = VARIABLE
) -> Iterator[tuple[int, socket.socket]]:
    """A claimed ROS domain in this process's environment, both given back at the end.

    Raises:
        RunError: see `claim_domain`.
    """
    outside = dict(os.environ)
    number, claim = claim_domain(domains, wanted, named)
    os.environ.update(bringup.environment(number))
    try:
        yield number, claim
    finally:
        os.environ.clear()
        os.environ.update(outside)
        claim.close()


def keep_domain(domains: range, wanted: str | None = None, named: str = VARIABLE) -> int:
    """Claim a domain until this process ends; the number of one that it has already is given again.

    Raises:
        RunError: see `claim_domain`.
    """
    text = os.environ.get(VARIABLE, "") if wanted is None else wanted
    known = _number(text, named) if text.strip() else domains[0]
    if known not in _kept:
        known, claim = claim_domain(domains, wanted, named)
        _kept[known] = claim
    return known


def holders_of_domain(number: int) -> str:
    """Who has claimed a domain, in words, as far as this user may look into other processes; empty if nobody has."""
    inodes = [
        fields[6]
        for line in Path("/proc/net/unix").read_text().splitlines()
        if (fields := line.split())[-1] == "@" + _name(number)[1:]
    ]
    return (holders_words({f"socket:[{inode}]" for inode in inodes}) or "another user's run") if inodes else ""


def holders_words(links: set[str]) -> str:
    """The processes that hold one of these files open, by what /proc says of them; empty if there is none."""
    found = [pid for pid in _processes() if _holds(pid, links)]
    folders = {folder for pid in found if (folder := _run_of(pid))}
    if not found:
        return ""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    who = f"process {found[0]}{more}"
    return f"{', '.join(sorted(folders))} ({who})" if folders else who


def _number(text: str, named: str) -> int:
    if remedy := domain_remedy(text):
        raise RunError(f"{named} is {text!r}: {remedy}")
    return int(text)


def _name(number: int) -> str:
    return f"\0sarl_ros-domain-{number}"


def _processes() -> list[int]:
    return sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _holds(pid: int, links: set[str]) -> bool:
    try:
        return any(os.readlink(entry) in links for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _run_of(pid: int) -> str:
    """The run folder that a node was started for."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        return str(Path(arguments[arguments.index("--params-file") + 1]).parent)
    except (OSError, ValueError, IndexError):
        return ""
