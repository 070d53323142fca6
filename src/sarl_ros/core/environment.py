"""Environment variables that a run depends on: one table of what each must be, judged before anything is started."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sarl_ros.core.paths import unwritable

DOMAINS = range(233)
"""What ROS_DOMAIN_ID may be."""
GL_BACKENDS = ("osmesa", "egl")
ANSWER_S = 0.2
DISCOVERY_PORT = 11811
FLAGS = ("RCUTILS_LOGGING_USE_STDOUT", "RCUTILS_LOGGING_BUFFERED_STREAM", "RCUTILS_COLORIZED_OUTPUT")

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable.

    Args:
        remedy: what to do where it is set to something that does not work; empty where it does.
        graph: it matters only where ROS nodes are started.
    """

    name: str
    remedy: Callable[[str, Environment], str]
    graph: bool = True


def fault_of(variable: Variable, environment: Environment) -> str:
    """One line that names the variable and the remedy; empty where it is unset, empty or good."""
    value = environment.get(variable.name, "").strip()
    remedy = variable.remedy(value, environment) if value else ""
    return f"{variable.name} is {value!r}: {remedy}" if remedy else ""


def environment_faults(environment: Environment, graph: bool = True) -> list[str]:
    """A line for each variable that a run cannot work with.

    Args:
        graph: the run starts ROS nodes.
    """
    judged = [variable for variable in VARIABLES if graph or not variable.graph]
    return [fault for variable in judged if (fault := fault_of(variable, environment))]


def domain_remedy(value: str) -> str:
    """What to do about a text that is no ROS domain's number; empty where it is one."""
    try:
        good = int(value) in DOMAINS
    except ValueError:
        good = False
    return "" if good else f"set it to a whole number from 0 to {DOMAINS[-1]}, or leave it out"


def _domain(value: str, _: Environment) -> str:
    return domain_remedy(value)


def _backend(value: str, _: Environment) -> str:
    return "" if value.lower() in GL_BACKENDS else f"set it to {' or '.join(GL_BACKENDS)}, or unset it"


def _middleware(value: str, environment: Environment) -> str:
    installed = middlewares(environment)
    if value in installed or not installed:
        return ""
    return f"it is not installed: set it to {' or '.join(installed)}, or unset it"


def middlewares(environment: Environment) -> list[str]:
    """The ROS middlewares whose libraries are installed, by what RMW_IMPLEMENTATION calls them."""
    prefixes = [*environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    folders = [*environment.get("LD_LIBRARY_PATH", "").split(os.pathsep), *(f"{one}/lib" for one in prefixes if one)]
    names = {path.stem[3:] for folder in folders if folder for path in Path(folder).glob("librmw_*_cpp.so")}
    return sorted(name for name in names if "_shared_" not in name and "typesupport" not in name)


def _discovery_server(value: str, _: Environment) -> str:
    refused = [address for address in value.split(";") if address.strip() and not _may_listen(address.strip())]
    return f"no server is at {', '.join(refused)}: start it (fastdds discovery), or unset it" if refused else ""


def _may_listen(address: str) -> bool:
    """Whether a UDP port is not known to be closed: a server that stays silent cannot be told from a lost packet."""
    host, _, port = address.removeprefix("UDPv4:").strip("[]").partition(":")
    if address.startswith(("TCP", "UDPv6")):
        return True
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(ANSWER_S)
        try:
            probe.connect((host, int(port or DISCOVERY_PORT)))
            probe.send(b"\0")
            probe.recv(1)
        except TimeoutError:
            return True
        except (OSError, ValueError, OverflowError, TypeError):  # the last for a host that is no name
            return False
    return True


def _log_home(name: str) -> Callable[[str, Environment], str]:
    """HOME matters where neither ROS_HOME nor ROS_LOG_DIR is set, ROS_HOME where ROS_LOG_DIR is not."""

    def remedy(value: str, environment: Environment) -> str:
        before = {"HOME": ("ROS_LOG_DIR", "ROS_HOME"), "ROS_HOME": ("ROS_LOG_DIR",)}.get(name, ())
        below = {"HOME": ".ros/log", "ROS_HOME": "log"}.get(name, "")
        if any(environment.get(other) for other in before) or not unwritable(Path(value).expanduser() / below):
            return ""
        return "ROS cannot write its logs there: set ROS_LOG_DIR to a folder that you can write"

    return remedy


def _temporary(value: str, _: Environment) -> str:
    good = os.path.isdir(value) and not unwritable(Path(value))  # which is False, not an error, for too long a name
    return "" if good else "no folder that you can write: make it, or unset it"


def _flag(value: str, _: Environment) -> str:
    return "" if value in ("0", "1") else "set it to 0 or 1, or unset it"


def _security(value: str, environment: Environment) -> str:
    store = environment.get("ROS_SECURITY_KEYSTORE", "")
    if value.lower() != "true" or os.path.isdir(store):
        return ""
    return "ROS_SECURITY_KEYSTORE names no folder: set it to the keystore, or unset ROS_SECURITY_ENABLE"


VARIABLES = (
    Variable("ROS_DOMAIN_ID", _domain),
    Variable("RMW_IMPLEMENTATION", _middleware),
    Variable("ROS_DISCOVERY_SERVER", _discovery_server),
    Variable("ROS_LOCALHOST_ONLY", _flag),
    Variable("ROS_SECURITY_ENABLE", _security),
    *(Variable(name, _log_home(name)) for name in ("HOME", "ROS_HOME", "ROS_LOG_DIR")),
    *(Variable(name, _flag) for name in FLAGS),
    Variable("MUJOCO_GL", _backend, graph=False),
    Variable("TMPDIR", _temporary, graph=False),
)
