"""A node's parameters as its model has them, declared with rclpy and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor

from sarl_ros.core.yaml_file import YamlError
from sarl_ros.parameters.base import NodeParameters
from sarl_ros.ros.node import SarlNode, SetupError

Parameters = TypeVar("Parameters", bound=NodeParameters)


def declare(node: SarlNode, model: type[Parameters]) -> Parameters:
    """Declare what `model` has, and take the values. They are read once: none changes while the node runs.

    Raises:
        SetupError: one is of another type or out of its range, or they do not go together.
    """
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if not node.has_parameter(name):
            default = "" if field.is_required() else _plain(field.default)
            described = ParameterDescriptor(description=field.description or "", read_only=True, dynamic_typing=True)
            node.declare_parameter(name, default, described)
        values[name] = _plain(node.get_parameter(name).value)
    try:
        return model.of(values, node.get_name())
    except YamlError as error:
        raise SetupError(str(error)) from None


def _plain(value: Any) -> Any:
    """Sequences of any kind as lists."""
    return value if isinstance(value, str) or not isinstance(value, Sequence) else list(value)
