"""Which folder may import which, no circles, and what never loads ROS. CONTRIBUTING.md says what each folder is for."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("sarl_ros", "widowx_bridge")
    for path in (SRC / package).rglob("*.py")
}

LIBRARY = (
    "core parameters store camera operating sim policies proposers methods records analysis console learner runtime"
)

# What a folder may import besides itself. Each line names only folders above it, so that reading down is building up.
ALLOWED = {
    "core": "",
    "parameters": "core camera",
    "store": "core",
    "ros": "core parameters store operating",
    "operating": "core",
    "widowx_bridge": "core parameters store ros",
    "camera": "core",
    "sim": "core widowx_bridge",
    "policies": "core",
    "proposers": "core policies sim",
    "methods": "core store policies",
    "records": "core store policies methods",
    "analysis": "core store records",
    "console": "core operating analysis",
    "learner": "core parameters store methods records analysis",
    "runtime": "core parameters store policies proposers sim widowx_bridge methods records learner",
    "training": "core policies sim widowx_bridge runtime",
    "nodes": f"{LIBRARY} ros widowx_bridge runs",
    "runs": "core parameters camera store ros sim policies proposers methods records console learner runtime",
    "client": "core operating ros runs",
    "commands": f"{LIBRARY} training ros nodes runs",
}
WITHOUT_ROS = f"{LIBRARY} training"


def folder(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] != "sarl_ros" else parts[1] if len(parts) > 1 else ""


def imports(module: str) -> set[str]:
    """Modules of ours that a module names in any import statement, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = inner if all(name in MODULES for name in inner) else [node.module, *inner]
        found.update(name for name in names if name in MODULES and name != module)
    return found


def test_no_module_imports_itself_by_way_of_others():
    try:
        TopologicalSorter({module: imports(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_folders_import_only_what_they_may():
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        if folder(module) in ALLOWED
        for other in imports(module)
        if folder(other) not in (folder(module), "") and folder(other) not in ALLOWED[folder(module)].split()
    ]
    assert not wrong, "\n".join(wrong)


def test_every_folder_is_named_and_none_is_in_a_circle():
    folders = {folder(module) for module in MODULES} - {"", "cli"}
    assert folders == ALLOWED.keys()
    list(TopologicalSorter({name: set(allowed.split()) for name, allowed in ALLOWED.items()}).static_order())


def test_what_is_not_a_node_loads_without_ros():
    modules = [
        module for module in MODULES if folder(module) in WITHOUT_ROS.split() and not module.endswith("__main__")
    ]
    code = f"import importlib, sys\nfor module in {modules!r}: importlib.import_module(module)\n"
    code += "print([name for name in ('rclpy', 'sarl_interfaces', 'interbotix_xs_msgs') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
