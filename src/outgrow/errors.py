"""Everything outgrow raises on purpose.

```
OutgrowError                 base of all; the command line prints it without a traceback and exits with 1
├── ConfigError              the experiment file or an override is wrong
│   └── UnknownNameError     a method, task, objective … of that name does not exist
├── DataError                rows, votes or labels are wrong
│   └── MissingFileError     a data file does not exist
├── ModelError               a model cannot be loaded or cannot do what is asked
├── StoreError               an artefact cannot be read or written (disk full, no permission, damaged)
└── MissingExtraError        an optional dependency is not installed
```
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters of terminals, and those that turn the direction of a line."""


def _unpickled(kind: type[OutgrowError], args: tuple[Any, ...], state: dict[str, Any]) -> OutgrowError:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class OutgrowError(Exception):
    """A problem the user can mend: says what is wrong, what was found, what was wanted and what to do next.

    Args:
        what: One sentence that names the thing and what is wrong with it.
        found: What was there.
        wanted: What should have been there.
        fix: The next step.

    Example:
        >>> print(OutgrowError("Column 'txt' is not in rows.csv.", found="text, label", fix="Set task.columns.prompt."))
        Column 'txt' is not in rows.csv.
          found:  text, label
          next:   Set task.columns.prompt.
    """

    def __init__(self, what: str, *, found: object = None, wanted: object = None, fix: str | None = None) -> None:
        self.what, self.found, self.wanted, self.fix = what, found, wanted, fix
        parts = (("found", found), ("wanted", wanted), ("next", fix))
        details = [f"  {label + ':':<8}{value}" for label, value in parts if value is not None]
        super().__init__(visible("\n".join([what, *details])))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args, vars(self))  # between processes, whatever the constructor takes


def visible(text: str) -> str:
    r"""Return a text from elsewhere as a terminal may show it: control characters but tabs and line ends are spelt.

    Example:
        >>> print(visible("ann\x1b[31m"))
        ann\x1b[31m
    """
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


class ConfigError(OutgrowError):
    """The experiment file or an override is wrong."""


class UnknownNameError(ConfigError):
    """A name that nothing is registered under."""


class DataError(OutgrowError):
    """Rows, votes or labels are wrong."""


class MissingFileError(DataError):
    """A data file does not exist."""


class ModelError(OutgrowError):
    """A model cannot be loaded, or cannot do what is asked of it."""


class StoreError(OutgrowError):
    """An artefact cannot be read or written."""


class MissingExtraError(OutgrowError):
    """An optional dependency is not installed.

    Example:
        >>> print(MissingExtraError("LoRA", "peft"))
        LoRA needs a package that is not installed.
          next:   pip install 'outgrow[peft]'
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs a package that is not installed.", fix=f"pip install 'outgrow[{extra}]'")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """One line that offers the nearest known names, or lists them all.

    Example:
        >>> did_you_mean("confidense", ["confidence", "cross_entropy"])
        "did you mean 'confidence'?"
        >>> did_you_mean("xyz", ["b", "a"])
        'known: a, b'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"


def nearest_file(path: str | Path) -> str | None:
    """One line that offers the file or folder beside a missing one whose name is nearest; None if none is near.

    Example:
        >>> nearest_file(Path(__file__).with_name("eror.py"))  # doctest: +ELLIPSIS
        "did you mean '...errors.py'?"
    """
    path, there = Path(path), []
    with suppress(OSError):
        there = sorted(each.name for each in path.parent.iterdir())
    near = difflib.get_close_matches(path.name, there, n=1, cutoff=0.6)
    return f"did you mean {str(path.with_name(near[0]))!r}?" if near else None
