"""Which rows people are asked about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from outgrow.config import TaskConfig, load_config, parse_config, parse_settings
from outgrow.errors import DataError
from outgrow.labels import Rows
from outgrow.tasks import read_records, read_task
from outgrow.tasks.files import asked, gold_answers


def read_items(file: Path, overrides: Sequence[str] = ()) -> Rows:
    """Return the rows of an experiment file's task, or of any table; rows of the gold part are checks.

    Args:
        file: An experiment file (YAML), or a table that `task.path` may name.
        overrides: Settings as of `outgrow run`: `task.columns.prompt=question`, `task.choices=[no, yes]`.

    Returns:
        Rows of a choice task. Of a table, those with a gold answer are the gold part. Its choices are by default
        the gold answers that occur.

    Raises:
        ConfigError: A setting is wrong.
        DataError: The rows cannot be read, have no choices, or all have a gold answer.
    """
    if file.suffix in (".yaml", ".yml"):
        rows = read_task(load_config(file, overrides).task)[1]
    else:
        settings = parse_settings(overrides)
        task = {"path": str(file), **settings.get("task", {})}
        # A whole experiment, so that wrong settings are explained as those of an experiment file are.
        rest = {"supervisors": [{"votes": ""}], "strong": {"model": ""}}
        rows = _table(parse_config({**settings, **rest, "task": task}).task)
    if rows.choices is None:
        fix = "Set task.choices, such as 'task.choices=[no, yes]'."
        raise DataError(f"The rows of {file} have no choices.", wanted="a choice task", fix=fix)
    if "unlabelled" not in rows.parts and "test" not in rows.parts:
        fix = "Set task.columns.gold=null to ask about all of them."
        raise DataError(f"All rows of {file} have a gold answer.", found=f"{len(rows)} rows", fix=fix)
    return rows


def _table(config: TaskConfig) -> Rows:
    table = read_records(config.source, config.config, encoding=config.encoding)
    columns = config.columns
    if "gold" not in columns.model_fields_set and columns.gold not in table.column_names:
        columns = columns.model_copy(update={"gold": None})
    own = columns.choices is not None or config.choices is not None
    update = {"columns": columns, "choices": config.choices if own or columns.gold is None else "auto"}
    config = config.model_copy(update=update)
    prompts, options = asked(table, config)
    gold, choices = gold_answers(table, config, options)
    ids = table[columns.id].to_pylist() if columns.id in table.column_names else range(table.num_rows)
    return Rows(
        tuple(map(str, ids)),
        tuple(prompts),
        tuple("unlabelled" if answer is None else "gold" for answer in gold),
        tuple(gold),
        choices,
        None if options is None else tuple(options),
    )


def label_names(rows: Rows, index: int) -> tuple[str, ...]:
    """Return what a votes table calls each choice of a row: its name; of a row's own choices its letter.

    A letter that is the text of another of the row's choices would be read as that one, so the text takes its place.

    Example:
        >>> rows = Rows(("0",), ("?",), ("test",), (None,), ("A", "B"), (("B", "C"),))
        >>> label_names(rows, 0)
        ('A', 'C')
    """
    letters = rows.choices or ()
    if rows.options is None:
        return letters
    own = rows.options[index]
    return tuple(text if letter in own else letter for letter, text in zip(letters, own, strict=True))
