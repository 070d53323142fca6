"""YAML files of settings: read so that every parser understands the same, checked against a model, written exactly.

A run's parameter file is read by PyYAML and by rcl in every node. They disagree: `1e-4` is a text to the one and a
number to the other, `n` a text or false, `1_000` a number or a text. Here `1e-4` is a number, and what else they would
read differently is refused until it is quoted.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INT = re.compile(r"[-+]?(0|[1-9]\d*)")
_BOOL = ("true", "True", "TRUE", "false", "False", "FALSE")
_NULL = ("", "~", "null", "Null", "NULL")
# rcl's truths, PyYAML's hexadecimal, octal, grouped and sexagesimal numbers and dates, what strtod makes a number of.
_UNLIKE = re.compile(
    r"y|n|yes|no|on|off|[-+]?(inf|infinity|nan)|[-+]?0[xob]?[\da-f_]+|[-+]?\d[\d_]*_[\d_.]*"
    r"|[-+]?\d+(:[0-5]?\d)+(\.\d*)?|\d{4}-\d\d?-\d\d?.*|[-+]?0\d[\d.e+-]*|[-+]?0x[\da-f.]+(p[-+]?\d+)?|=|<<",
    re.IGNORECASE,
)
REMEDY = "correct the file"


class YamlError(ValueError):
    """A file of settings that cannot be used; one line that names it, the place and the remedy."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without doubled keys, aliases, tags and scalars that other parsers read differently."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._refuse("*", "is an alias, which ROS does not read: write the value out", self.peek_event().start_mark)
        if tag := getattr(self.peek_event(), "tag", None):
            why = "is a tag, which would make it something else than a text, number or list: delete it"
            self._refuse(tag, why, self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse("a list or mapping", "is no name: write a word before the colon", key.start_mark)
            key.tag = "tag:yaml.org,2002:str"  # `y: 0.1` is a coordinate, whatever y is as a value
            if key.value in seen:
                self._refuse(key.value, "is there twice: delete one", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_unlike(self, node: yaml.ScalarNode) -> NoReturn:
        self._refuse(
            node.value, "is read differently by other parsers: quote it, or write true, false or 12.5", node.start_mark
        )

    def _refuse(self, what: Any, why: str, mark: yaml.Mark) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=f"{_short(str(what))} {why}", problem_mark=mark)


def _add(tag: str, pattern: re.Pattern[str]) -> None:
    _Loader.add_implicit_resolver(tag, re.compile(rf"(?:{pattern.pattern})$", pattern.flags), None)


def _one_of(values: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, values)))


# The first that fits counts.
_add("tag:yaml.org,2002:bool", _one_of(_BOOL))
_add("tag:yaml.org,2002:null", _one_of(_NULL))
_add("tag:yaml.org,2002:int", _INT)
_add("tag:yaml.org,2002:float", _FLOAT)
_add("!unlike", _UNLIKE)
_Loader.add_constructor("!unlike", _Loader.construct_unlike)


def load_yaml(text: str, source: str | Path) -> Any:
    """What a YAML text says; `source` names it in errors.

    Raises:
        YamlError: it is no YAML, has a name twice in one mapping, or a value that other parsers read differently.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise YamlError(f"{source}: lists within lists within lists: {REMEDY}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}:" if mark else ""
        context = f"{error.context} " if error.context else ""
        raise YamlError(f"{source}:{where} {_line(f'{context}{error.problem}')}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise YamlError(f"{source}: not YAML ({_line(error)}): {REMEDY}") from None


class _Dumper(yaml.SafeDumper):
    """Quotes every text that could be read as anything else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = re.fullmatch(r"[A-Za-z_/~.][\w/.~-]*( [\w/.~-]+)*", text) and not any(
        pattern.fullmatch(text) for pattern in (_UNLIKE, _FLOAT, _INT, _one_of(_BOOL + _NULL))
    )
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)


def dump_yaml(tree: Any) -> str:
    """The YAML text of a tree of mappings, lists, texts, numbers and truths, in the order that they have."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))


class FileModel(BaseModel):
    """What a file of settings may say: nothing unknown, nothing of another type, no infinite number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def of(cls, tree: Any, source: str | Path) -> Self:
        """The model of what `load_yaml` returned; `source` names it in errors.

        Raises:
            YamlError: a setting is unknown, missing, of another type or out of its range.
        """
        if not isinstance(tree, dict):
            raise YamlError(f"{source}: is no mapping of names to values, but {shown(tree)}: {REMEDY}")
        try:
            return cls.model_validate_json(json.dumps(tree))  # in JSON a list is a tuple, a text a path
        except ValidationError as error:
            raise YamlError(f"{source}: {first_fault(error)}") from None


def read_text(path: Path, what: str) -> str:
    """The text of a file that a person wrote, in UTF-8. Raises YamlError, which calls it `what`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise YamlError(f"{path}: no readable {what} ({error.strerror}): give the path of one") from None
    except UnicodeDecodeError:
        utf_16 = path.read_bytes().startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise YamlError(f"{path}: this {what} is {'UTF-16' if utf_16 else 'not UTF-8'}: save it as UTF-8") from None


def first_fault(error: ValidationError) -> str:
    """The first thing that a model finds wrong, in one line: what, why and the remedy."""
    fault = error.errors()[0]
    place = _short(".".join(map(str, fault["loc"])) or "it")
    match fault["type"]:
        case "extra_forbidden":
            return f"{place} is unknown: delete it, or correct its name"
        case "missing":
            return f"{place} is missing: add it"
        case "string_too_short":
            return f"{place} is empty: give it"
        case "string_type" if fault["input"] is not None:
            return f"{place} is {shown(fault['input'])}, which is no text: put it in quotes"
        case "value_error" | "assertion_error":
            why = fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            return _line(f"{place} is {shown(fault['input'])}: {why}" if fault["loc"] else why)
        case _:
            return _line(f"{place} is {shown(fault['input'])}: {fault['msg'][0].lower()}{fault['msg'][1:]}")


def shown(value: Any) -> str:
    """A value as an error shows it: not longer than a line."""
    return _short(repr(value))


def _short(text: str) -> str:
    line = _line(text)
    return line if len(line) <= 60 else f"{line[:57]}..."


def _line(message: object) -> str:
    return " ".join(str(message).split())
