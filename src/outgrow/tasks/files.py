"""Tasks from tables by column names. Other built-in tasks are file tasks with some settings filled in."""

from __future__ import annotations

import re
import string
import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.bounds import TEMPLATE_WIDTH as _WIDTH
from outgrow.config import Named, TaskConfig
from outgrow.errors import ConfigError, DataError
from outgrow.evaluate.text_metrics import TextMetric
from outgrow.labels import PARTS, Part, Rows
from outgrow.labels.columns import packed, taken
from outgrow.registry import create
from outgrow.tasks.protocol import Task
from outgrow.tasks.split import assign_parts, normalise, rows_in_parts
from outgrow.tasks.tables import column, read_records

_BOOLEANS = ("false", "true")
_DIGITS = 10
"""Indices of choices have fewer."""


@dataclass(frozen=True)
class FileTask(Task):
    """`task: {path: …}`: any table. Without choices a text task, scored by `task.metric`."""

    takes_metric: ClassVar[bool] = True

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows.

        Raises:
            ConfigError: A metric does not exist, or is set for a choice task.
        """
        if (config.choices or config.columns.choices) is not None and config.metric is not None:
            raise ConfigError(
                "Choice tasks are scored by accuracy.", found="task.metric", fix="Drop metric or choices."
            )
        _metrics(config)
        return read_rows(config)

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Score answers by the metrics of the configuration; by default by exact match."""
        gold = [answer if isinstance(answer, str) else "" for answer in rows.gold]
        return {name: metric(answers, gold) for name, metric in _metrics(config).items()}


def with_defaults(config: TaskConfig, **defaults: Any) -> TaskConfig:
    """Return the configuration with `defaults` wherever the user set nothing; mappings are merged one level deep."""
    updates: dict[str, Any] = {}
    for name, value in defaults.items():
        if isinstance(value, dict):
            inner = getattr(config, name)
            missing = {key: item for key, item in value.items() if key not in inner.model_fields_set}
            updates[name] = inner.model_copy(update=missing)
        elif name not in config.model_fields_set:
            updates[name] = value
    return config.model_copy(update=updates)


def read_rows(
    config: TaskConfig, *, needs_gold: bool = True, convert: Callable[[pa.Table], pa.Table] = lambda table: table
) -> Rows:
    """Read and check a table and assign its rows to parts.

    With `needs_gold`, rows without a gold answer can only be unlabelled. `convert` gives a table of another form the
    columns that the configuration names.

    Raises:
        DataError: A file or column is missing, a label is outside the choices, rows have different numbers of choices
            or the same choice twice, ids repeat, a part is empty, or given parts share rows.
        ConfigError: Settings that exclude each other, or a wrong template.
    """
    table = convert(read_records(config.source, config.config, encoding=config.encoding))
    ids = packed(map(str, _column(table, config, "id") or range(table.num_rows)))
    if config.limit is not None and config.limit < table.num_rows:
        chosen = np.sort(np.random.default_rng(config.split.seed).permutation(table.num_rows)[: config.limit])
        # Rows keep their numbers, because votes made elsewhere refer to rows by number.
        table, ids = table.take(chosen), taken(ids, chosen)
    if config.test_path is not None:
        tested = convert(read_records(config.test_path, config.config, encoding=config.encoding))
        own = (f"test/{value}" for value in _column(tested, config, "id") or range(tested.num_rows))
        ids = packed(chain(ids, own))
        table = pa.concat_tables([table, tested], promote_options="permissive")
    prompts, options = asked(table, config)
    gold, choices = gold_answers(table, config, options)
    parts = _given_parts(table, config)
    if parts is None:
        count = 0 if config.test_path is None else tested.num_rows
        parts = _assigned_parts(table, config, ids, prompts, gold if needs_gold else prompts, count)
    return rows_in_parts(
        parts, ids=ids, prompts=prompts, gold=gold, choices=choices, options=options, where=config.source,
        needs_gold=needs_gold,
    )  # fmt: skip


def shuffled(rows: Rows) -> Rows:
    """Return rows with the choices of each row in an order that depends on its prompt only.

    Data sets that list the right answer first would otherwise give it away.
    """
    gold, options = [], []
    for prompt, right, own in zip(rows.prompts, rows.gold, rows.options or (), strict=True):
        order = np.random.default_rng(zlib.crc32(prompt.encode())).permutation(len(own)).tolist()
        options.append(tuple(own[index] for index in order))
        gold.append(None if right is None else order.index(int(right)))
    return replace(rows, gold=tuple(gold), options=tuple(options))


def asked(table: pa.Table, config: TaskConfig) -> tuple[Sequence[str], Sequence[tuple[str, ...]] | None]:
    """Return the prompts of a table's rows, and their own choices where `columns.choices` names them.

    Raises:
        DataError: A column is missing, or a row has no text or not its choices.
        ConfigError: `template` is not a template.
    """
    return _prompts(table, config), _options(table, config)


def columns_of(config: TaskConfig) -> list[str]:
    """Return the names of the columns that `asked` needs."""
    names, choices = [config.columns.prompt], config.columns.choices
    if config.template is not None:
        names = [name for _, name, _, _ in string.Formatter().parse(config.template) if name is not None]
    return [*names, *([] if choices is None else [choices] if isinstance(choices, str) else choices)]


def _metrics(config: TaskConfig) -> dict[str, TextMetric]:
    chosen = (Named(name="exact_match"),) if config.metric is None else config.metric
    if len({one.name for one in chosen}) < len(chosen):
        raise ConfigError("task.metric names a metric twice.", found=", ".join(one.name for one in chosen))
    return {one.name: create("metric", one.name, one.params) for one in chosen}


def _column(table: pa.Table, config: TaskConfig, meaning: str) -> Sequence[Any] | None:
    name = getattr(config.columns, meaning)
    return None if name is None else column(table, name, where=config.source, setting=f"task.columns.{meaning}")


def _prompts(table: pa.Table, config: TaskConfig) -> Sequence[str]:
    if config.template is None:
        texts = _column(table, config, "prompt") or ()
        empty = texts.count(None)
        if empty:
            raise DataError(f"{empty} rows of {config.source} have no text in {config.columns.prompt!r}.")
        return packed(map(str, texts))
    try:
        names = []
        for _, name, form, _ in string.Formatter().parse(config.template):
            if name is not None:
                names.append(name)
                widths = [int(width) for width in re.findall("[0-9]+", form or "") if len(width) < _DIGITS]
                if "{" in (form or "") or len(form or "") > _DIGITS or max(widths, default=0) > _WIDTH.most:
                    raise ConfigError("task.template pads too far.", found=f"{{{name}:{form}}}"[:80], wanted=_WIDTH)
        columns = {name: column(table, name, where=config.source, setting="task.template") for name in names}
        for name, values in columns.items():
            if None in values:
                raise DataError(f"A row of {config.source} has nothing in {name!r}, which task.template needs.")
        rows = zip(*columns.values(), strict=True) if columns else ((),) * table.num_rows
        return packed(config.template.format_map(dict(zip(columns, row, strict=True))) for row in rows)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise ConfigError(
            "task.template is not a template.",
            found=repr(config.template),
            wanted="text with column names in braces, such as 'Q: {question} A: {answer}'",
            fix="Write {{ and }} for braces that are part of the text.",
        ) from error


def _options(table: pa.Table, config: TaskConfig) -> Sequence[tuple[str, ...]] | None:
    """The choices of each row, where `columns.choices` names them."""
    named = config.columns.choices
    if named is None:
        return None
    where, setting = config.source, "task.columns.choices"
    if config.choices is not None:
        raise ConfigError(f"{setting} gives every row its own choices.", found="task.choices", fix="Leave one out.")
    if isinstance(named, str):
        rows: Iterable[Any] = column(table, named, where=where, setting=setting)
    else:
        rows = zip(*(column(table, name, where=where, setting=setting) for name in named), strict=True)
    options = packed(_own_choices(number, own, where) for number, own in enumerate(rows))
    counts = Counter(map(len, options))
    if len(counts) > 1 or not 2 <= len(options[0]) <= len(string.ascii_uppercase):
        found = ", ".join(f"{rows} rows with {count}" for count, rows in counts.most_common())
        raise DataError(
            f"The rows of {where} do not have one number of choices.",
            found=found,
            wanted=f"the same number for all, from 2 to {len(string.ascii_uppercase)}",
            fix="Keep rows of one number only, or make a row of each answer, with the choices false and true.",
        )
    return options


def _own_choices(number: int, own: object, where: str) -> tuple[str, ...]:
    if not isinstance(own, list | tuple) or any(choice is None for choice in own):
        fix = "Name a column of lists, or a list of columns with a choice each."
        raise DataError(f"A row of {where} has no list of choices.", found=f"row {number}: {own!r}"[:120], fix=fix)
    options = tuple(str(choice) for choice in own)
    if len({*options}) < len(own):
        raise DataError(f"A row of {where} has the same choice twice.", found=f"row {number}: {options}"[:200])
    return options


def gold_answers(
    table: pa.Table, config: TaskConfig, options: Sequence[tuple[str, ...]] | None
) -> tuple[Sequence[int | str | None], tuple[str, ...] | None]:
    """Return the gold answers of a table's rows, and the choices; see `asked` for `options`.

    Raises:
        DataError: A column is missing, or a label is outside the choices.
        ConfigError: Choices are named twice.
    """
    values = _column(table, config, "gold") or (None,) * table.num_rows
    if options is not None:
        letters = tuple(string.ascii_uppercase[: len(options[0])])
        pairs = zip(values, options, strict=True)
        return packed(option_index(value, own, letters, where=config.source) for value, own in pairs), letters
    if config.choices is None or config.choices == "auto":
        values = packed(None if value is None else str(value) for value in values)
    if config.choices is None:
        return values, None
    choices = tuple(sorted({*values} - {None, ""})) if config.choices == "auto" else config.choices
    if len(set(choices)) < len(choices):
        raise ConfigError("task.choices names a choice twice.", found=", ".join(choices))
    if len(choices) < 2:
        found = ", ".join(choices) or "no labels"
        raise DataError(f"{config.source} has one class only.", found=found, wanted="at least two choices")
    return packed(choice_index(value, choices, where=config.source) for value in values), choices


def option_index(value: object, options: Sequence[str], letters: Sequence[str], *, where: str) -> int | None:
    """Return the index of a label that is the text, the letter or the index of one of a row's own choices.

    None for None and for an empty cell. A text comes first: of the choices ("B", "C") the label "B" is the first.

    Raises:
        DataError: The label is none of these.

    Example:
        >>> [option_index(value, ("oxygen", "glucose"), ("A", "B"), where="x.csv") for value in ("glucose", "A", 1)]
        [1, 0, 1]
    """
    by_letter = value not in options and value in letters
    return choice_index(value, letters if by_letter else options, where=where)


def choice_index(value: object, choices: Sequence[str], *, where: str) -> int | None:
    """Return the index of a label that is a choice's name or index; None for None and for an empty cell.

    With two choices, false and true (booleans, or texts in any case) are the first and the second.

    Raises:
        DataError: The label is neither.

    Example:
        >>> choice_index("positive", ("negative", "positive"), where="x.csv")
        1
        >>> choice_index(0, ("negative", "positive"), where="x.csv")
        0
    """
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # other software writes whole numbers as floats if a cell of the column is empty
    text = str(value)
    if text in choices:
        return choices.index(text)
    if len(choices) == 2 and text.lower() in _BOOLEANS:
        return _BOOLEANS.index(text.lower())
    number = isinstance(value, int) or (isinstance(value, str) and value.isdecimal() and len(value) < _DIGITS)
    index = int(value) if number else -1  # type: ignore[call-overload]
    if 0 <= index < len(choices):
        return index
    raise DataError(
        f"A label in {where} is outside the choices.",
        found=repr(value),
        wanted=f"one of {', '.join(choices)}, or an index from 0 to {len(choices) - 1}",
        fix="Correct the file, or set task.choices.",
    )


def _given_parts(table: pa.Table, config: TaskConfig) -> list[Part | None] | None:
    values = _column(table, config, "part")
    if values is None:
        return None
    if config.test_path is not None:
        raise ConfigError("task.columns.part says which rows are test rows.", found="task.test_path", fix="Drop one.")
    values = packed(repr(value) if isinstance(value, list | dict) else value for value in values)
    known: dict[object, Part] = {part: part for part in PARTS}
    unknown = sorted({str(value) for value in values if value is not None and value not in known})
    if unknown:
        raise DataError(
            f"The column {config.columns.part!r} of {config.source} names unknown parts.",
            found=", ".join(unknown[:5]),
            wanted=", ".join(PARTS),
        )
    return [known.get(value) for value in values]


def _assigned_parts(
    table: pa.Table, config: TaskConfig, ids: Sequence[str], prompts: Sequence[str], gold: Sequence[object], own: int
) -> list[Part | None]:
    """Parts by `task.split`. The last `own` rows come from `task.test_path`: the test rows."""
    split, first = config.split, len(prompts) - own
    groups = None
    if split.group is not None:
        values = column(table, split.group, where=config.source, setting="task.split.group")
        groups = packed(repr(value) if isinstance(value, list | dict) else value for value in values)
    voted = _voted(config, ids, prompts)
    if not own:
        return assign_parts(prompts, gold, split, groups=groups, voted=voted)
    size = {"test": split.test if "test" in split.model_fields_set else "all"}
    only_test = split.model_copy(update={"gold": 0, "validation": 0, "unlabelled": 0, **size})
    tested = assign_parts(prompts[first:], gold[first:], only_test)

    def keys() -> Iterator[set[Hashable]]:
        if groups is None:
            return ({normalise(prompt)} for prompt in prompts)
        return ({normalise(prompt), ("group", group)} for prompt, group in zip(prompts, groups, strict=True))

    taken_keys = set[Hashable]().union(*islice(keys(), first, None))
    rest = np.flatnonzero(np.fromiter((not own & taken_keys for own in islice(keys(), first)), np.bool_, first))
    dealt = assign_parts(
        taken(prompts, rest),
        taken(gold, rest),
        split.model_copy(update={"test": 0}),
        groups=groups and taken(groups, rest),
        voted=voted and taken(voted, rest),
    )
    parts: NDArray[np.object_] = np.full(first, None, dtype=object)
    parts[rest] = dealt
    return [*parts, *tested]


def _voted(config: TaskConfig, ids: Sequence[str], prompts: Sequence[str]) -> list[bool] | None:
    table = config.split.voted
    if table is None:
        return None
    records = read_records(table.path)
    names = {str(value) for value in column(records, table.task, where=table.path, setting="task.split.voted.task")}
    keys = ids if table.key == "id" else prompts
    voted = [key in names for key in keys]
    if not any(voted):
        raise DataError(
            f"None of the rows of {config.source} occurs in {table.path}.",
            found=f"{table.task}={next(iter(names))!r}",
            wanted=f"{table.key}s such as {keys[0]!r}",
            fix="Check task.split.voted: task names the column, key says whether it holds ids or prompts.",
        )
    return voted
