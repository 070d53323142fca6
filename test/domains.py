"""ROS domains of tests: claimed as runs claim theirs, so that nothing on this machine shares one."""

from __future__ import annotations

import socket
from functools import cache

from sarl_ros.runs.domains import claim_domain

RUNS_CLAIM = range(1, 30)
"""No run takes one of these unless it is told to."""

_kept: list[socket.socket] = []


@cache
def domain_of(module: str, number: int = 0) -> int:
    """The domain of a test module, or its second, third ...; kept until this process ends."""
    domain, claim = claim_domain(wanted="")
    _kept.append(claim)
    return domain


@cache
def free_domain(module: str) -> int:
    """A domain for runs of a test module, which are to claim it themselves; no other test has it."""
    for domain in RUNS_CLAIM:
        reserved = socket.socket(socket.AF_UNIX)
        try:
            reserved.bind(f"\0sarl-test-domain-{domain}")
        except OSError:
            reserved.close()
            continue
        _kept.append(reserved)
        return domain
    raise RuntimeError("no domain is left for this test")
