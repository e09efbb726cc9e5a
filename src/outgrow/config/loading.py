"""From a file and overrides to a checked configuration, with errors a user can act on.

Paths in a file are relative to the file; paths in an override are relative to the current folder. `${NAME}` stands
for an environment variable, `${NAME:-value}` for one with a default, in paths, names of models and addresses of servers
only. Nothing in a file executes code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from outgrow import bounds
from outgrow.config.reading import NotYamlError, read_mapping, read_yaml
from outgrow.config.schema import ExperimentConfig
from outgrow.config.secrets import is_secret_variable, refuse_secrets
from outgrow.config.supervisors import supervisor_kind
from outgrow.errors import ConfigError, did_you_mean
from outgrow.registry import lookup

_PATH_KEYS = frozenset({"path", "test_path", "votes", "texts", "ratings", "model", "store", "output"})
_FILE_SUFFIXES = frozenset({".jsonl", ".csv", ".tsv", ".parquet", ".gz", ".json", ".xlsx"})
_SERVED_MODEL = "model of a server"
_VARIABLE_KEYS = _PATH_KEYS | {"server", _SERVED_MODEL}
"""Settings in which variables are expanded. In any other, one could carry a secret to a server or into a report."""
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
    "too_short": "at least one",
}
"""What pydantic's types of error ask for."""
_TYPE = re.compile(r"\w+\[.*\]|str|int|float|bool")


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
    raw = read_mapping(path)
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
    refuse_secrets(raw)
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
        # What a server calls its model is no path here, and its parameters are its own.
        named: dict[str, str] = {"model": _SERVED_MODEL} if value.get("server") else {}
        return {
            name: _resolve(inner, base, "" if key == "parameters" else named.get(name) or str(name))
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_resolve(inner, base, key if key == "parameters" else "") for inner in value]
    if isinstance(value, str):
        value = _VARIABLE.sub(partial(_environment, key, value), value)
        if key in _PATH_KEYS:
            return _resolve_path(value, base, must_exist=key in {"model", "path", "test_path"})
    return value


def _resolve_path(value: str, base: Path, *, must_exist: bool) -> str:
    # A model or data set may be a hub id, which looks like a relative path: it is a path only if something is there,
    # or if it is spelt like one.
    if len(value) > bounds.PATH_CHARS.most or "\0" in value:
        raise ConfigError(
            "This is no path.", found=f"{value[:60]!r} …", wanted=f"{bounds.PATH_CHARS}, none of them zero"
        )
    spelt_as_path = value.startswith((".", "/", "~")) or value.count("/") > 1 or "*" in value
    spelt_as_path = spelt_as_path or Path(value).suffix in _FILE_SUFFIXES
    try:
        candidate = (base / Path(value).expanduser()).resolve()
        exists = (
            candidate.exists() or (base / value.partition(":")[0]).is_dir()
        )  # a data set's folder, and a split of it
    except (OSError, RuntimeError) as error:  # no such user, a loop of links, a name too long
        raise ConfigError(f"The path {value[:200]!r} cannot be read: {error}.") from error
    return str(candidate) if exists or spelt_as_path or not must_exist else value


def _environment(key: str, whole: str, match: re.Match[str]) -> str:
    name = match.group(1)
    if is_secret_variable(name):
        raise ConfigError(
            f"{name} does not belong in an experiment: its value would be written into the results.",
            fix="Leave it out; HF_TOKEN and OPENAI_API_KEY are read where they are needed.",
        )
    if key not in _VARIABLE_KEYS or (key == "server" and (match.start() > 0 or whole.count("${") > 1)):
        raise ConfigError(
            f"The environment variable {name} is not expanded here.",
            found=f"{key or 'a list'}: {whole}",
            wanted=f"variables in {', '.join(sorted(_PATH_KEYS))}; or a whole address: server: ${{OPENAI_BASE_URL}}",
            fix="Write the value itself, or give it on the command line.",
        )
    if name not in os.environ and match.group(2) is None:
        raise ConfigError(
            f"The experiment needs the environment variable {name}, which is not set.", fix=f"export {name}=…"
        )
    return os.environ.get(name) or match.group(2) or ""


def _changes(override: str) -> list[tuple[str, Any, Path]]:
    """Return the dotted keys, values and base folders of one override: an assignment, or a file with several."""
    path = Path(override)
    if "=" in override or path.suffix not in {".yaml", ".yml"}:
        return [_assignment(override)]
    return [(str(key), value, path.resolve().parent) for key, value in read_mapping(path).items()]


def _assignment(override: str) -> tuple[str, Any, Path]:
    key, separator, text = override.partition("=")
    if not separator or not key:
        wanted = "such as seeds=5 or task.limit=500, or a YAML file of such keys"
        raise ConfigError("An override is not key=value.", found=override, wanted=wanted)
    try:
        value = read_yaml(text)
    except NotYamlError as error:
        raise ConfigError(f"The value of the override {key} is not YAML: {error}.") from None
    refuse_secrets({key.rpartition(".")[2]: value})
    return key, value, Path.cwd()


def _apply(raw: dict[str, Any], key: str, value: Any, base: Path, served: Container[str] = ()) -> None:
    """Applies one override; `served` holds the keys of sections that other overrides put behind a server."""
    *parents, last = key.split(".")
    if "" in (*parents, last) or len(parents) > bounds.YAML_DEPTH.most:
        raise ConfigError("The key of an override is a path of names.", found=key[:200], wanted="such as task.limit")
    target: Any = raw
    for parent in parents:
        target = _descend(target, parent, key)
        if not isinstance(target, dict | list):
            raise ConfigError(f"The override {key} goes into {parent!r}, which holds no settings.", found=target)
    at_server = last == "model" and (".".join(parents) in served or (isinstance(target, dict) and "server" in target))
    # What a server calls its model is no path, and its parameters are its own.
    own = _SERVED_MODEL if at_server else "parameters" if "parameters" in parents else last
    value = _resolve(value, base, own)
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
    if not re.fullmatch(r"[0-9]{1,9}", part) or int(part) >= len(target):
        wanted = f"0 to {len(target) - 1}" if target else "an item, and the list is empty"
        raise ConfigError(f"The override {override} names no item.", found=part, wanted=wanted)
    return int(part)
