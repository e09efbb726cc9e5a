"""The experiment file: frozen pydantic models of its YAML, overrides, and errors a user can act on.

Paths in a file are relative to the file; paths in an override are relative to the current folder. `${NAME}` in any
string stands for an environment variable. Nothing in a file executes code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from outgrow.errors import ConfigError, did_you_mean

_PATH_KEYS = frozenset({"path", "votes", "model", "store", "output"})
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Loader(yaml.SafeLoader):
    """YAML 1.1, in which `1e-4` would be a text, with the numbers of YAML 1.2."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Named(BaseModel):
    """A thing chosen by name, with its parameters: `icl`, or `{name: icl, demonstrations: 4}`."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    name: str
    """The registered name."""

    @property
    def params(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Choice = Annotated[Named, BeforeValidator(_named, json_schema_input_type=str | Named)]


class Columns(_Frozen):
    """Which columns of a data file mean what."""

    prompt: str = "text"
    """The text to judge or to answer; not used where `task.template` is given."""
    gold: str | None = "label"
    """The right answer; null where there is none."""
    id: str | None = None
    """A unique name per row; by default rows are numbered."""
    part: str | None = None
    """A column that says `gold`, `unlabelled` or `test`; without it `task.split` decides."""


class VotesTable(_Frozen):
    """A table with votes made elsewhere, named only to know which rows it covers."""

    path: str
    """A jsonl, csv, tsv or parquet file."""
    task: str = "task"
    """Its column that says which row a vote is about."""
    key: Literal["id", "prompt"] = "id"
    """What that column holds: row ids or prompts."""


class Split(_Frozen):
    """How rows are dealt to the three parts. Shares below 1 are fractions, whole numbers are counts."""

    gold: float = 0.4
    """Rows that train the supervisors."""
    unlabelled: float = 0.4
    """Rows that the supervisors label and the student learns from."""
    test: float = 0.2
    """Rows that nobody trains on."""
    group: str | None = None
    """A column whose equal values stay in one part, such as the question of several answers."""
    seed: int = 0
    """Seed of the shuffle; the same for every training seed, so that all are compared on the same test rows."""
    voted: VotesTable | None = None
    """Votes made elsewhere: only rows they cover become unlabelled or test rows, and the groups of these stay out of
    the gold part."""

    @field_validator("gold", "unlabelled", "test")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value < 0 or (value > 1 and value != int(value)):
            raise ValueError("a part is a fraction from 0 to 1 or a whole number of rows")
        return value


class TaskConfig(_Frozen):
    """What is to be learned, and from which rows."""

    name: str = "file"
    """A built-in task (`sciq`, `sentiment`, `facts`), a plug-in, or `file` for any table."""
    path: str
    """A jsonl, csv, tsv or parquet file (may be gzipped), a folder, or a hub data set id."""
    columns: Columns = Columns()
    """Which columns mean what (for `name: file`)."""
    template: str | None = None
    """The prompt from several columns: `"Q: {question} A: {answer}"`."""
    choices: tuple[str, ...] | Literal["auto"] | None = None
    """Names of the K answers; `auto` takes the distinct gold values in sorted order; null makes a text task."""
    split: Split = Split()
    """How rows are dealt to the gold, unlabelled and test parts."""
    limit: int | None = Field(default=None, gt=0)
    """Use only this many rows, taken at random with the split's seed."""


class _Trained(_Frozen):
    name: str | None = None
    """A name for tables; by default derived from the model."""
    rows: int | None = Field(default=None, gt=0)
    """How many gold rows it is trained on, drawn anew for every seed; by default all."""


class FeaturesSupervisor(_Trained):
    """A scikit-learn text pipeline, trained on the gold part: `{features: tfidf}`."""

    features: Choice
    """The pipeline's name and parameters."""


class ModelSupervisor(_Trained):
    """A transformers model; with `train` it is first trained on the gold part."""

    model: str
    """A folder or a hub id."""
    train: dict[str, Any] | None = None
    """TrainingArguments for training it on the gold part; `{}` trains with the defaults, null does not train."""
    adapter: Choice = Named(name="none")
    """What is trained: `none` (all weights), `lora` or `probe`."""
    max_length: int | None = Field(default=None, gt=0)
    """Cut prompts to this many tokens; by default a prompt that is too long is an error."""
    batch_size: int = Field(default=32, gt=0)
    """Rows at once when labelling."""
    early_stopping: int | None = Field(default=None, gt=0)
    """Patience in epochs on a held-out tenth of its training rows; null trains to the end."""


class VotesSupervisor(_Frozen):
    """Votes made elsewhere: people, rules, another system."""

    votes: str
    """A jsonl, csv, tsv or parquet file."""
    task: str = "task"
    """The column that says which row a vote is about."""
    key: Literal["id", "prompt"] = "id"
    """What that column holds: row ids or prompts."""
    worker: str = "worker"
    """Long tables: the column with the voter's name; every voter is one supervisor."""
    label: str = "label"
    """Long tables: the column with the choice's name or index."""
    probabilities: str | dict[str, str | tuple[str, ...]] | None = None
    """Wide tables: a pattern such as `p_true_*` (the star is the supervisor's name), or name → column(s). One column is
    the probability of the last of two choices; several are those of all choices."""
    name: str | None = None
    """A prefix for the supervisors' names."""


def _supervisor_kind(value: object) -> str | None:
    given = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    return next((kind for kind in ("features", "model", "votes") if kind in given), None)


SupervisorConfig = Annotated[
    Annotated[FeaturesSupervisor, Tag("features")]
    | Annotated[ModelSupervisor, Tag("model")]
    | Annotated[VotesSupervisor, Tag("votes")],
    Discriminator(
        _supervisor_kind,
        custom_error_type="supervisor",
        custom_error_message="a supervisor has one of the keys 'model', 'features' or 'votes'",
    ),
]


class Strong(_Frozen):
    """The model that is to outgrow its supervisors."""

    model: str
    """A folder or a hub id."""
    adapter: Choice = Named(name="none")
    """What is trained: `none` (all weights), `lora` (extra `peft`) or `probe` (a head on frozen, cached features)."""
    max_length: int | None = Field(default=None, gt=0)
    """Cut prompts to this many tokens; by default a prompt that is too long is an error."""
    batch_size: int = Field(default=32, gt=0)
    """Rows at once when predicting, embedding or generating."""
    early_stopping: int | None = Field(default=None, gt=0)
    """Patience in epochs on a held-out tenth of the (weakly labelled) training rows; null trains to the end."""


class Method(_Frozen):
    """A choice at each door between labels and student; everything left out is the naive method."""

    combine: Choice = Named(name="mean")
    """How several supervisors become one target (choice tasks)."""
    refine: Choice | None = None
    """How the strong model relabels the unlabelled rows itself before it is trained (text tasks)."""
    objective: Choice = Named(name="cross_entropy")
    """What the student minimises."""


class Generate(_Frozen):
    """How texts are generated (text tasks)."""

    template: str = "Question: {prompt}\nAnswer:"
    """How a row's prompt is put to a model, in training and in generation; the answer follows after a space."""
    max_new_tokens: int = Field(default=64, gt=0)
    """Most tokens of an answer."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer."""


class ExperimentConfig(_Frozen):
    """A whole experiment."""

    name: str = "experiment"
    """A name for the report; by default the file's name."""
    task: TaskConfig
    """What is to be learned, and from which rows."""
    supervisors: tuple[SupervisorConfig, ...] = Field(min_length=1)
    """Who judges the unlabelled rows."""
    strong: Strong
    """The model that is to outgrow them."""
    methods: dict[str, Method] = Field(default={"naive": Method()}, min_length=1)
    """Ways to train it, by name."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds; `3` stands for 0, 1, 2."""
    trainer: dict[str, Any] = {}
    """Passed through to transformers' TrainingArguments for the student (not used by `adapter: probe`)."""
    generate: Generate = Generate()
    """How texts are generated (text tasks)."""
    ceiling: bool = True
    """Whether to train the ceiling: the strong model on gold labels of the unlabelled part."""
    store: str | None = None
    """Folder for artefacts that experiments share; by default OUTGROW_STORE or the user's cache folder."""
    output: str | None = None
    """Folder for this experiment's results; by default outgrow-runs/<name>."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, value: object) -> object:
        return tuple(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("at least one seed, each once")
        return value

    @model_validator(mode="after")
    def _reserved_names(self) -> ExperimentConfig:
        taken = {"base", "ceiling"} & set(self.methods)
        if taken:
            raise ValueError(f"a method cannot be named {taken.pop()!r}: the table uses that name itself")
        return self


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Reads an experiment file and applies `key=value` overrides.

    Args:
        path: A YAML file.
        overrides: Dotted keys with YAML values: `task.limit=500`, `methods.naive={}`, `supervisors.0.rows=100`.

    Raises:
        ConfigError: The file is missing or no mapping, a key is unknown, a value is wrong; the message names the key
            and offers the nearest known one.
    """
    path = Path(path)
    try:
        raw = _yaml(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ConfigError(f"There is no experiment file {path}.", wanted="a YAML file") from error
    except OSError as error:
        raise ConfigError(f"The experiment file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} is not an experiment.", found=type(raw).__name__, wanted="a mapping of keys")
    # Overrides first: what they replace may name a variable that is not set.
    for override in overrides:
        _apply(raw, override)
    raw = _resolve(raw, path.resolve().parent)
    raw.setdefault("name", path.stem)
    return parse_config(raw)


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
        return ExperimentConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from error


def _explain(problem: Any) -> str:
    location: list[Any] = list(problem["loc"])
    keys = _keys_at(location[:-1])
    if location[:1] == ["supervisors"] and len(location) > 2:
        del location[2]  # pydantic's tag of which kind of supervisor it took the entry for
    where = ".".join(str(part) for part in location) or "experiment"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key; {did_you_mean(str(location[-1]), keys)}"
    shown = problem.get("input")
    found = f" (found {shown!r})" if isinstance(shown, str | int | float) else ""
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}{found}"


_MODEL_UNDER: dict[Any, type[BaseModel]] = {
    "task": TaskConfig,
    "columns": Columns,
    "split": Split,
    "voted": VotesTable,
    "features": FeaturesSupervisor,
    "model": ModelSupervisor,
    "votes": VotesSupervisor,
    "strong": Strong,
    "methods": Method,
    "generate": Generate,
}


def _keys_at(location: Sequence[Any]) -> list[str]:
    model = next((_MODEL_UNDER[part] for part in reversed(location) if part in _MODEL_UNDER), ExperimentConfig)
    return list(model.model_fields)


def _resolve(value: Any, base: Path, key: str = "") -> Any:
    """Expands variables in every string and makes the paths of a file absolute."""
    if isinstance(value, dict):
        return {name: _resolve(inner, base, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(inner, base) for inner in value]
    if isinstance(value, str):
        value = _VARIABLE.sub(_environment, value)
        if key in _PATH_KEYS:
            return _resolve_path(value, base, must_exist=key in {"model", "path"})
    return value


def _resolve_path(value: str, base: Path, *, must_exist: bool) -> str:
    # A model or data set may be a hub id, which looks like a relative path: it is a path only if something is there,
    # or if it is spelt like one.
    candidate = (base / Path(value).expanduser()).resolve()
    spelt_as_path = value.startswith((".", "/", "~")) or value.count("/") > 1 or Path(value).suffix in _FILE_SUFFIXES
    return str(candidate) if candidate.exists() or spelt_as_path or not must_exist else value


_FILE_SUFFIXES = frozenset({".jsonl", ".csv", ".tsv", ".parquet", ".gz", ".json"})


def _environment(match: re.Match[str]) -> str:
    name = match.group(1)
    if name not in os.environ:
        raise ConfigError(
            f"The experiment needs the environment variable {name}, which is not set.", fix=f"export {name}=…"
        )
    return os.environ[name]


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # a SafeLoader


def _apply(raw: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError("An override is not key=value.", found=override, wanted="such as seeds=5 or task.limit=500")
    try:
        value = _yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"The value of the override {key} is not YAML.", found=text) from error
    *parents, last = key.split(".")
    target: Any = raw
    for parent in parents:
        target = _descend(target, parent, override)
        if not isinstance(target, dict | list):
            raise ConfigError(f"The override {override} goes into {parent!r}, which holds no settings.", found=target)
    value = _resolve(value, Path.cwd(), last)
    if isinstance(target, list):
        target[_index(target, last, override)] = value
    else:
        target[last] = value


def _descend(target: Any, part: str, override: str) -> Any:
    if isinstance(target, list):
        return target[_index(target, part, override)]
    if not isinstance(target.get(part), dict | list):
        target[part] = {"name": target[part]} if isinstance(target.get(part), str) else {}
    return target[part]


def _index(target: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(target):
        raise ConfigError(f"The override {override} names no item.", found=part, wanted=f"0 to {len(target) - 1}")
    return int(part)
