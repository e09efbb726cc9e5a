"""YAML as an experiment file has it: plain values of bounded size and depth, with the numbers of YAML 1.2."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from outgrow import bounds
from outgrow.errors import ConfigError, nearest_file


class NotYamlError(Exception):
    """A text that is no YAML, or more than is read; says where, without the line, which may hold a secret."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1, in which `1e-4` would be a text, with the numbers of YAML 1.2.

    `yes`, `no`, `on` and `off` are texts in lists, as keys, and as a `label`: there they are names, such as of choices.
    """

    def construct_sequence(self, node: yaml.SequenceNode, deep: bool = False) -> list[Any]:
        for item in node.value:
            _keep_word(item)
        return super().construct_sequence(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, value in node.value:
            _keep_word(key)
            if key.value == "label":
                _keep_word(value)
        return super().construct_mapping(node, deep)


def _keep_word(node: yaml.Node) -> None:
    if node.tag == "tag:yaml.org,2002:bool" and node.value.lower() in {"yes", "no", "on", "off"}:
        node.tag = "tag:yaml.org,2002:str"


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(text: str) -> Any:
    """Return the value of a YAML text: mappings, lists, texts, numbers, booleans and null.

    Raises:
        NotYamlError: It is no YAML, has other values, or is larger than its bounds once its aliases are expanded.

    Example:
        >>> read_yaml("{rate: 1e-4, choices: [no, yes]}")
        {'rate': 0.0001, 'choices': ['no', 'yes']}
    """
    if len(text) > bounds.YAML_CHARS.most:
        raise NotYamlError(f"{len(text):,} characters where {bounds.YAML_CHARS} are read")
    try:
        _check_size(text)
        return _plain(yaml.load(text, Loader=_Loader))  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise NotYamlError(f"{error.problem or error.context}{where}") from None
    except yaml.YAMLError as error:
        raise NotYamlError(str(error).splitlines()[0]) from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):  # !!int x, !!timestamp y, 2024-13-45
        raise NotYamlError("a value that is not of the type that it is written as") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML file.

    Raises:
        ConfigError: The file is missing, not a regular file, no YAML or no mapping.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigError(f"{path} is not a regular file.", found="a pipe or a device", wanted="a YAML file")
        with path.open(encoding="utf-8") as file:
            raw = read_yaml(file.read(bounds.YAML_CHARS.most + 1))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ConfigError(
            f"There is no experiment file {path}.", wanted="a YAML file", fix=nearest_file(path)
        ) from error
    except OSError as error:
        raise ConfigError(f"The experiment file {path} cannot be read: {error.strerror}.") from error
    except (NotYamlError, ValueError) as error:  # no UTF-8, or a path with a zero
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} is not an experiment.", found=type(raw).__name__, wanted="a mapping of keys")
    return raw


def _check_size(text: str) -> None:
    """Raise a NotYamlError if a text has too many values or too deep ones, each alias counting as all that it names."""
    sizes: dict[str, int] = {}
    stack: list[tuple[str | None, int]] = [(None, 0)]  # anchor and number of values of each open collection
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        own, name = 1, getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append((name, 1))
            if len(stack) > bounds.YAML_DEPTH.most:
                raise NotYamlError(f"deeper than {bounds.YAML_DEPTH}")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            name, own = stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            if name not in sizes:
                raise NotYamlError(f"the alias {name!r} names nothing, or what it is part of")
            own = sizes[name]
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        if name is not None:
            sizes[name] = own
        outer, count = stack.pop()
        stack.append((outer, count + own))
        if count + own > bounds.YAML_VALUES.most:
            raise NotYamlError(f"more than {bounds.YAML_VALUES}")


def _plain(value: Any) -> Any:
    """The value, if it can be written as JSON."""
    if isinstance(value, dict):
        return {_plain(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_plain(own) for own in value]
    if isinstance(value, str) and ("\0" in value or not value.isascii()) and _is_odd(value):
        raise NotYamlError("a text with a zero, or with half of a character (a surrogate)")
    if value is not None and not isinstance(value, str | bool | int | float):
        raise NotYamlError(f"a {type(value).__name__}, which no setting is (put it in quotes)")
    return value


def _is_odd(text: str) -> bool:
    return "\0" in text or any("\ud800" <= one <= "\udfff" for one in text)
