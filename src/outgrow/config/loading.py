"""From a file and overrides to a checked configuration, with errors a user can act on.

Paths in a file are relative to the file; paths in an override are relative to the current folder. `${NAME}` in any
string stands for an environment variable, `${NAME:-value}` for one with a default. Nothing in a file executes code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from outgrow.config.schema import ExperimentConfig
from outgrow.config.supervisors import supervisor_kind
from outgrow.errors import ConfigError, did_you_mean, nearest_file
from outgrow.registry import lookup

_PATH_KEYS = frozenset({"path", "test_path", "votes", "texts", "ratings", "model", "store", "output"})
_FILE_SUFFIXES = frozenset({".jsonl", ".csv", ".tsv", ".parquet", ".gz", ".json", ".xlsx"})
_SECRETS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY"})
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^{}]*))?\}")


_WANTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "tuple_type": "a list",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
}
"""What pydantic's types of error ask for."""
_TYPE = re.compile(r"\w+\[.*\]|str|int|float|bool")


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


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Reads an experiment file and applies overrides.

    Args:
        path: A YAML file.
        overrides: Dotted keys with YAML values: `task.limit=500`, `methods.naive={}`, `supervisors.0.rows=100`; or
            YAML files that map such keys to values.

    Raises:
        ConfigError: The file is missing or no mapping, a key is unknown, a value is wrong; the message names the key
            and offers the nearest known one.
    """
    path = Path(path)
    raw = _mapping(path)
    # Overrides first: what they replace may name a variable that is not set.
    changes = [change for override in overrides for change in _changes(override)]
    served = {key.removesuffix(".server") for key, _, _ in changes if key.endswith(".server")}
    for key, value, base in changes:
        _apply(raw, key, value, base, served)
    raw = _resolve(raw, path.resolve().parent)
    raw.setdefault("name", path.stem)
    return parse_config(raw)


def parse_settings(assignments: Sequence[str], settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Reads `key=value` settings that belong to no file, perhaps on top of others; values are YAML.

    Raises:
        ConfigError: An assignment is not `key=value`, or its value is not YAML.

    Example:
        >>> parse_settings(["repetitions=1e3", "kappas=[1, 0.5]"])
        {'repetitions': 1000.0, 'kappas': [1, 0.5]}
    """
    settings = {} if settings is None else settings
    for assignment in assignments:
        _apply(settings, *_assignment(assignment))
    return settings


def parse_config(raw: Mapping[str, Any]) -> ExperimentConfig:
    """Checks a mapping as an experiment; paths in it are taken as they are.

    Raises:
        ConfigError: A key is unknown or a value is wrong.

    Example:
        >>> parse_config({"task": {"path": "x.csv"}, "supervisors": [{"votes": "v.csv"}], "strong": {"modell": "m"}})
        Traceback (most recent call last):
        ...
        outgrow.errors.ConfigError: strong.model: Field required
        strong.modell: unknown key; did you mean 'model'?
    """
    try:
        return _without_idle_gold(ExperimentConfig.model_validate(raw))
    except ValidationError as error:
        by_place: dict[tuple[str, ...], list[Any]] = {}
        for problem in error.errors():
            location, models = _place(problem["loc"], raw)
            by_place.setdefault(tuple(location), []).append((problem, models))
        # Of a list with a wrong item pydantic also says that it is too short, or not what else might be there.
        outer = {place[:depth] for place in by_place for depth in range(len(place))}
        told = [_explain(place, problems) for place, problems in by_place.items() if place not in outer]
        raise ConfigError("\n".join(told)) from error


def _without_idle_gold(config: ExperimentConfig) -> ExperimentConfig:
    """The experiment without a gold part where that is a default that nobody uses."""
    split = config.task.split
    if config.uses_gold or "gold" in split.model_fields_set or split.test == "all":
        return config
    rest = {} if "unlabelled" in split.model_fields_set else {"unlabelled": 1.0}
    own = split.model_copy(update={"gold": 0, **rest})
    return config.model_copy(update={"task": config.task.model_copy(update={"split": own})})


def _explain(location: Sequence[str], problems: Sequence[tuple[Any, list[type[BaseModel]]]]) -> str:
    (problem, models), *_ = problems
    where = ".".join(location) or "experiment"
    if problem["type"] == "extra_forbidden":
        known = [key for model in models for key in model.model_fields]
        return f"{where}: unknown key; {did_you_mean(location[-1], known)}"
    shown = problem.get("input")
    found = f" (found {shown!r})" if isinstance(shown, str | int | float) else ""
    kinds = [_WANTED.get(each["type"]) or each.get("ctx", {}).get("expected") for each, _ in problems]
    if all(kinds):
        advice = "; put it in quotes" if kinds == ["a text"] and found else ""
        return f"{where}: wanted {' or '.join(dict.fromkeys(kinds))}{found}{advice}"
    return "\n".join(f"{where}: {each['msg'].removeprefix('Value error, ')}{found}" for each, _ in problems)


def _place(parts: Sequence[Any], raw: Any) -> tuple[list[str], list[type[BaseModel]]]:
    """Where a problem is, without pydantic's tags, and the sections whose keys are known there."""
    models: list[type[BaseModel]] = [ExperimentConfig]
    location: list[str] = []
    for depth, part in enumerate(parts):
        tagged = [model for model in models if model.__name__ == part]
        if tagged:
            models = tagged
            continue
        named_by_user = location == ["methods"]
        if isinstance(part, str) and _TYPE.fullmatch(part) and location and not named_by_user:
            continue  # a branch of a union
        location.append(str(part))
        named_by_user = location[:1] == ["methods"] and len(location) == 2
        if depth == len(parts) - 1 or named_by_user:
            continue
        if location[0] == "supervisors" and len(location) == 2:
            thing = lookup("supervisor", supervisor_kind(raw["supervisors"][part]) or "model")
            models = [thing] if isinstance(thing, type) and issubclass(thing, BaseModel) else models
            continue
        inner = [own for model in models if part in model.model_fields for own in _models_in(model, part)]
        models = inner or models
    return location, models


def _models_in(model: type[BaseModel], name: str) -> list[type[BaseModel]]:
    found, open_types = [], [model.model_fields[name].annotation]
    for each in open_types:
        if isinstance(each, type) and issubclass(each, BaseModel):
            found.append(each)
        open_types += get_args(each)
    return found


def _resolve(value: Any, base: Path, key: str = "") -> Any:
    """Expands variables in every string and makes the paths of a file absolute."""
    if isinstance(value, dict):
        # What a server calls its model is no path here.
        named = {"model"} if value.get("server") else set()
        return {name: _resolve(inner, base, "" if name in named else name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(inner, base) for inner in value]
    if isinstance(value, str):
        value = _VARIABLE.sub(_environment, value)
        if key in _PATH_KEYS:
            return _resolve_path(value, base, must_exist=key in {"model", "path", "test_path"})
    return value


def _resolve_path(value: str, base: Path, *, must_exist: bool) -> str:
    # A model or data set may be a hub id, which looks like a relative path: it is a path only if something is there,
    # or if it is spelt like one.
    candidate = (base / Path(value).expanduser()).resolve()
    spelt_as_path = value.startswith((".", "/", "~")) or value.count("/") > 1 or Path(value).suffix in _FILE_SUFFIXES
    exists = candidate.exists() or (base / value.partition(":")[0]).is_dir()  # a data set's folder, and a split of it
    return str(candidate) if exists or spelt_as_path or not must_exist else value


def _environment(match: re.Match[str]) -> str:
    name = match.group(1)
    if name in _SECRETS:
        raise ConfigError(
            f"{name} does not belong in an experiment: its value would be written into the results.",
            fix="Leave it out; the variable is read where it is needed.",
        )
    if name not in os.environ and match.group(2) is None:
        raise ConfigError(
            f"The experiment needs the environment variable {name}, which is not set.", fix=f"export {name}=…"
        )
    return os.environ.get(name) or match.group(2) or ""


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # a SafeLoader


def _mapping(path: Path) -> dict[str, Any]:
    try:
        raw = _yaml(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ConfigError(
            f"There is no experiment file {path}.", wanted="a YAML file", fix=nearest_file(path)
        ) from error
    except OSError as error:
        raise ConfigError(f"The experiment file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} is not an experiment.", found=type(raw).__name__, wanted="a mapping of keys")
    return raw


def _changes(override: str) -> list[tuple[str, Any, Path]]:
    """Return the dotted keys, values and base folders of one override: an assignment, or a file with several."""
    path = Path(override)
    if "=" in override or path.suffix not in {".yaml", ".yml"}:
        return [_assignment(override)]
    return [(str(key), value, path.resolve().parent) for key, value in _mapping(path).items()]


def _assignment(override: str) -> tuple[str, Any, Path]:
    key, separator, text = override.partition("=")
    if not separator or not key:
        wanted = "such as seeds=5 or task.limit=500, or a YAML file of such keys"
        raise ConfigError("An override is not key=value.", found=override, wanted=wanted)
    try:
        return key, _yaml(text), Path.cwd()
    except yaml.YAMLError as error:
        raise ConfigError(f"The value of the override {key} is not YAML.", found=text) from error


def _apply(raw: dict[str, Any], key: str, value: Any, base: Path, served: Container[str] = ()) -> None:
    """Applies one override; `served` holds the keys of sections that other overrides put behind a server."""
    *parents, last = key.split(".")
    target: Any = raw
    for parent in parents:
        target = _descend(target, parent, key)
        if not isinstance(target, dict | list):
            raise ConfigError(f"The override {key} goes into {parent!r}, which holds no settings.", found=target)
    at_server = last == "model" and (".".join(parents) in served or (isinstance(target, dict) and "server" in target))
    value = _resolve(value, base, "" if at_server else last)  # what a server calls its model is no path
    if isinstance(target, list):
        target[_index(target, last, key)] = value
    else:
        target[last] = value


def _descend(target: Any, part: str, override: str) -> Any:
    place: Any = _index(target, part, override) if isinstance(target, list) else part
    if isinstance(target, dict) and not isinstance(target.get(part), dict | list):
        target[part] = {"name": target[part]} if isinstance(target.get(part), str) else {}
    if isinstance(target[place], dict | list):
        target[place] = target[place].copy()  # an alias of YAML is the same object as its anchor
    return target[place]


def _index(target: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(target):
        raise ConfigError(f"The override {override} names no item.", found=part, wanted=f"0 to {len(target) - 1}")
    return int(part)
