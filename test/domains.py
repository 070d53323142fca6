"""ROS domains of tests: claimed as runs claim theirs, so that nothing on this machine shares one."""

from __future__ import annotations

import socket
from functools import cache

from sarl_ros.runs.domains import claim_domain

_kept: list[socket.socket] = []


@cache
def domain_of(module: str, number: int = 0) -> int:
    """The domain of a test module, or its second, third ...; kept until this process ends."""
    domain, claim = claim_domain(wanted="")
    _kept.append(claim)
    return domain
