"""Notes of a run as data: what happened, how grave it is, and the numbers. Wording is in `outgrow.report.notes`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from outgrow.errors import DataError

Severity = Literal["info", "caution", "warning"]
"""`info` describes the run, `caution` limits what the numbers mean, `warning` says that something went wrong."""
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the least to the gravest."""


OTHER_VALUES = (AttributeError, LookupError, OverflowError, TypeError, ValueError)
"""What is raised where values of a file from elsewhere are not those that this version of outgrow writes."""


@dataclass(frozen=True)
class Note:
    """One remark about a run, for tables and reports.

    Example:
        >>> note = Note("rows.empty", "caution", who="bpe512", seed=0, values={"rows": np.int64(2), "of": 90})
        >>> note.to_json()
        {'code': 'rows.empty', 'severity': 'caution', 'who': 'bpe512', 'seed': 0, 'values': {'rows': 2, 'of': 90}}
        >>> Note.from_json(note.to_json()) == note
        True
    """

    code: str
    """What happened, as a key into the table of wordings, such as `votes.failed`; `message` for free text."""
    severity: Severity = "info"
    """How grave it is."""
    who: str | None = None
    """The method, supervisor or model that it is about."""
    seed: int | None = None
    """The seed of the run that it is about."""
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Numbers and names that the wording quotes. Arrays and tuples become lists; NaN and infinity become None."""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            wanted = ", ".join(SEVERITIES)
            raise DataError(f"The note {self.code!r} has an unknown severity.", found=self.severity, wanted=wanted)
        try:
            values = json.dumps(dict(self.values), default=_listed)
        except (TypeError, ValueError) as error:
            raise DataError(f"A value of the note {self.code!r} cannot be written as JSON: {error}") from error
        object.__setattr__(self, "values", json.loads(values, parse_constant=lambda _: None))

    def to_json(self) -> dict[str, Any]:
        """Return the note as a JSON object, without empty fields."""
        return {key: value for key, value in vars(self).items() if value is not None and value != {}}

    @classmethod
    def from_json(cls, note: Mapping[str, Any] | str) -> Note:
        """Return the note of a JSON object, or of a plain sentence as in older results."""
        if isinstance(note, str):
            return cls("message", values={"text": note})
        try:
            return cls(**note)
        except TypeError as error:
            raise DataError("This is not a note.", found=repr(note)[:80], wanted="code, severity, who …") from error


def _listed(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON type")
