"""The estimate of a run: what its stages would take, as a table, and after the run beside what they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outgrow.errors import StoreError
from outgrow.files import read_json, translate_os_errors, write_json
from outgrow.labels.notes import OTHER_VALUES
from outgrow.models.planning import Plan, PlannedStage, Seconds
from outgrow.report.saved import Expected
from outgrow.report.words import duration_text

_FILE = "estimate.json"
"""The last estimate, beside the results."""
_REST = "everything else"
_SURE = {
    True: "Speeds were measured here, on some seconds of each model's work. The range covers the spread of these "
    "measurements and the unknown length of answers, but no other load on the machine.",
    False: "Speeds were stated, not measured: the likely time may be wrong by a factor of two.",
}


@dataclass(frozen=True)
class RunEstimate:
    """What a run would take."""

    stages: Sequence[PlannedStage]
    """Calls of models and artefacts, in order."""
    rest: float
    """Seconds of everything else: reading, combining, evaluating, the report."""
    servers: Sequence[str]
    """What servers would be asked, a line for each; see `planned_costs`."""
    measured: bool
    """Whether speeds were measured here."""

    @classmethod
    def of(cls, plan: Plan, rest: float, servers: Sequence[str]) -> RunEstimate:
        """Return the estimate of a plan."""
        return cls(tuple(plan.stages), rest, tuple(servers), plan.speed is None)

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON values: `seconds` are low, likely and high, `memory` is in bytes."""
        groups: dict[tuple[str, str], list[PlannedStage]] = {}
        for stage in self.stages:
            groups.setdefault((stage.kind, stage.model), []).append(stage)
        lines, times = [], []
        for (kind, model), own in groups.items():
            seconds = _sums([one.seconds or Seconds(0.0, 0.0, 0.0) for one in own])
            times.append(seconds)
            gpu_hours = sum(one.devices * one.seconds.likely for one in own if one.seconds) / 3600
            lines.append(
                {
                    "kind": kind,
                    "model": model,
                    "rows": sum(one.rows for one in own),
                    "tokens": round(sum(one.tokens for one in own)),
                    "flops": sum(one.flops for one in own),
                    "memory": max(one.memory for one in own),
                    "seconds": seconds,
                    "gpu_hours": gpu_hours if own[0].device == "cuda" else None,
                }
            )
        rest = [0.8 * self.rest, self.rest, 1.2 * self.rest]
        return {
            "stages": lines,
            "rest": rest,
            "total": _sums([*times, rest]),
            "unknown": sorted({one.kind for one in self.stages if one.seconds is None}),
            "servers": list(self.servers),
            "measured": self.measured,
        }

    def text(self) -> str:
        """Return the table as aligned text, with how sure it is."""
        about = self.to_json()
        head = ("stage", "model", "rows", "tokens", "FLOPs", "memory", "time", "range")
        table = [head, *(_cells(line) for line in about["stages"])]
        for name, own in ((_REST, about["rest"]), ("total", about["total"])):
            table.append((name, *("",) * 5, duration_text(own[1]), _range(own)))
        widths = [max(len(row[place]) for row in table) for place in range(len(head))]
        lines = [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}" for row in table]
        for place in range(2, len(head)):
            lines = [f"{line}  {row[place]:>{widths[place]}}" for line, row in zip(lines, table, strict=True)]
        hours = [line["gpu_hours"] for line in about["stages"] if line["gpu_hours"] is not None]
        lines += [f"GPU hours: {sum(hours):.2g}"] * bool(hours)
        lines += [f"Without the time of these stages, which was not measured: {', '.join(about['unknown'])}."] * bool(
            about["unknown"]
        )
        return "\n".join([*lines, *about["servers"], _SURE[self.measured]])


def keep_estimate(folder: Path, settings: str, estimate: RunEstimate) -> None:
    """Write an estimate beside the results; `settings` is the hash of the settings that it is of."""
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _FILE, {"settings": settings, "estimate": estimate.to_json()})


def kept_estimate(folder: Path, settings: str) -> dict[str, Any] | None:
    """Return what a report reads of the estimate in a folder; None if there is none of these settings."""
    try:
        kept = read_json(folder / _FILE)
        return Expected.model_validate(kept["estimate"]).model_dump() if kept["settings"] == settings else None
    except (OSError, StoreError, *OTHER_VALUES):  # none, or damaged
        return None


def compared(about: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Return by kind of artefact the estimated time, its range, the actual time, and the first over the last.

    Args:
        about: The provenance of results; without `estimate` or `seconds` there is no line.
    """
    estimate, seconds = about.get("estimate"), about.get("seconds")
    if not estimate or not seconds:
        return []
    expected: dict[str, list[Sequence[float]]] = {}
    for line in estimate["stages"]:
        expected.setdefault(line["kind"], []).append(line["seconds"])
    kinds = [kind for kind in dict.fromkeys([*expected, *seconds]) if kind != "total"]
    found = [_compared(kind, expected.get(kind, []), seconds.get(kind)) for kind in kinds]
    rest = seconds["total"] - sum(own for kind, own in seconds.items() if kind != "total")
    found.append(_compared(_REST, [estimate["rest"]], rest))
    return [*found, _compared("total", [estimate["total"]], seconds["total"])]


def _compared(kind: str, expected: Sequence[Sequence[float]], actual: float | None) -> tuple[str, str, str, str, str]:
    own = _sums(expected) if expected else None
    ratio = f"{own[1] / actual:.2f}" if own and actual else ""
    return kind, *((duration_text(own[1]), _range(own)) if own else ("–", "")), duration_text(actual or 0.0), ratio


def _sums(seconds: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) for column in zip(*seconds, strict=True)]


def _cells(line: Mapping[str, Any]) -> tuple[str, ...]:
    flops, memory = line["flops"], line["memory"]
    return (
        line["kind"],
        line["model"],
        *(f"{line[key]:,}" if line[key] else "" for key in ("rows", "tokens")),
        f"{flops:.1e}" if flops else "",
        f"{memory / 2**30:.2g} GiB" if memory else "",
        duration_text(line["seconds"][1]),
        _range(line["seconds"]),
    )


def _range(seconds: Sequence[float]) -> str:
    return f"{duration_text(seconds[0])} to {duration_text(seconds[2])}"
