"""Marks tests by what they need: `graph` starts processes of nodes or speaks DDS, `slow` takes seconds by itself.

And those that draw their inputs as `fuzz`.
"""

import os
import re
from functools import cache
from pathlib import Path

import hypothesis
import pytest

# What tests draw is the same each time; bench/fuzz.py draws anew.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True)
hypothesis.settings.load_profile("suite")

# Tests kill processes and go on. Where one is killed, Fast DDS takes a port of its shared memory away from who lives,
# which then crashes as it closes it (boost::interprocess_mutex under SharedMemChannelResource::release).
os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")

NEEDS_GRAPH = re.compile(r"^ *(import|from) (rclpy|graph_tools|arm_side|camera_tools|playwright)\b|Popen\(|fakes", re.M)


WHOLE_GRAPH = re.compile(r"^ *(import|from) graph_tools\b", re.M)


@cache
def starts_whole_graphs(path: Path) -> bool:
    return bool(WHOLE_GRAPH.search(path.read_text()))


@cache
def needs_graph(path: Path) -> bool:
    return bool(NEEDS_GRAPH.search(path.read_text()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not starts_whole_graphs(item.path))  # the longest first: two processes end together
    for item in items:
        if needs_graph(item.path):
            item.add_marker(pytest.mark.graph)
        if hasattr(getattr(item, "function", None), "hypothesis"):
            item.add_marker(pytest.mark.fuzz)
