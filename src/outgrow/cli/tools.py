"""Commands that need no experiment."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outgrow.cli.console import Json, Plugins, Quiet, app, load_plugins, reporter_on_terminal
from outgrow.errors import ConfigError

if TYPE_CHECKING:
    from outgrow.supervisors.votes import VotesSupervisor


Task = Annotated[str, typer.Option(help="The column that says what was voted on.")]
Worker = Annotated[str, typer.Option(help="The column with the voter's name.")]
Label = Annotated[str, typer.Option(help="The column with the choice; empty or -1 is an abstention.")]
Answers = Annotated[
    str | None, typer.Option(help="Wide tables of choices: a pattern such as pred.*; the star is the name.")
]
Probabilities = Annotated[
    str | None,
    typer.Option(help="Wide tables: a pattern such as p_* or p_*_{choice}; the star is the supervisor's name."),
]
Choices = Annotated[
    list[str] | None, typer.Option(help="A label that is a choice, once for each; by default all but -1.")
]
Abstain = Annotated[list[str] | None, typer.Option(help="A further label that is an abstention.")]
Gold = Annotated[str | None, typer.Option(help="A column with known answers, empty where unknown.")]


@app.command()
def combine(
    votes: Annotated[Path, typer.Argument(help="A votes table: jsonl, csv, tsv (gz too) or parquet.")],
    method: Annotated[str, typer.Option(help="A combiner: dependence, majority …, or a plug-in's.")] = "dependence",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Posteriors: .parquet or .csv; by default in outgrow-runs, after VOTES."),
    ] = None,
    task: Task = "task",
    worker: Worker = "worker",
    label: Label = "label",
    answers: Answers = None,
    probabilities: Probabilities = None,
    choice: Choices = None,
    abstain: Abstain = None,
    gold: Gold = None,
    plugin: Plugins = None,
    check: Annotated[
        str | None, typer.Option(help="A column with known answers that are only compared with the posteriors.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Combine a table of votes into posteriors, and say what is known of the supervisors."""
    from outgrow.pipeline.voting import check_suffix, combine_table
    from outgrow.report.voting import summary_of, voting_text

    load_plugins(plugin)
    output = output or Path("outgrow-runs") / f"{votes.name.partition('.')[0]}-posteriors.parquet"
    check_suffix(output)
    columns = _columns(votes, task, worker, label, answers, probabilities, abstain)
    result = combine_table(str(votes), method, columns=columns, choices=choice, gold=gold)
    checked = None
    if check:
        from outgrow.pipeline.checking import check as compare

        checked = compare(result, str(votes), task=task, answer=check)
    result.write(output)
    if as_json:
        about = summary_of(result.combined) | {"check": dataclasses.asdict(checked) if checked else None}
        typer.echo(json.dumps(about, indent=2, allow_nan=False))
    elif not quiet:
        typer.echo(voting_text(result.combined))
        if checked:
            typer.echo(f"\n{checked.text()}")
        typer.echo(f"\nPosteriors: {output}")


@app.command()
def advise(
    votes: Annotated[Path, typer.Argument(help="A votes table, as for combine; or the folder of a finished run.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .csv file for the rows that are worth a gold answer.")
    ] = None,
    rows: Annotated[
        int, typer.Option(help="How many rows to name: at random, and as many uncertain ones.", min=1)
    ] = 100,
    width: Annotated[float, typer.Option(help="Wanted width of the interval of PGR.", min=0.01)] = 0.5,
    task: Task = "task",
    worker: Worker = "worker",
    label: Label = "label",
    answers: Answers = None,
    probabilities: Probabilities = None,
    choice: Choices = None,
    abstain: Abstain = None,
    gold: Gold = None,
    as_json: Json = False,
) -> None:
    """Without gold: who is how good, do the votes suffice, which method, how many rows to label and which."""
    from outgrow.pipeline.advising import advise_run, advise_table
    from outgrow.report.advice import advice_text, findings

    if output is not None and output.suffix != ".csv":
        raise ConfigError(f"Rows to label cannot be written to {output}.", found=output.suffix, wanted=".csv")
    if votes.is_dir():
        notes = advise_run(votes, output, width=width)
    else:
        columns = _columns(votes, task, worker, label, answers, probabilities, abstain)
        notes = advise_table(str(votes), output, rows, columns=columns, choices=choice, gold=gold, width=width)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in findings(notes)], indent=2, allow_nan=False))
    else:
        typer.echo(advice_text(notes))


@app.command()
def theory(
    topic: Annotated[str, typer.Argument(help="regression, hull, deconvolution, phase, …, or all.", metavar="NAME")],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the topic, such as concepts=5.", metavar="KEY=VALUE")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the figure, its numbers and the page.")
    ] = Path("outgrow-runs/theory"),
    plugin: Plugins = None,
    quiet: Quiet = False,
) -> None:
    """See when naive training fails and refinement helps: a table, a figure, its numbers and a page of explanation."""
    from outgrow.config import parse_settings
    from outgrow.registry import create, names
    from outgrow.theory.figures import write

    load_plugins(plugin)
    settings = parse_settings(assignments or ())
    if topic == "all" and settings:
        raise ConfigError("Settings belong to one topic.", found="all", wanted="the name of a topic")
    topics = names("topic") if topic == "all" else [topic]
    for name in topics:
        asked = create("topic", name, settings)
        with reporter_on_terminal(quiet=quiet) as reporter:
            finding = asked(reporter)
        written = write(finding, name, output)
        if not quiet:
            typer.echo(f"{finding.title}\n\n{finding.summary.text()}\n")
            typer.echo("".join(f"{path}\n" for path in written))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at Python, packages, devices, memory and the store, run a tiny experiment, and say what to fix."""
    from outgrow.doctor import examine

    checks = []
    for check in examine():
        checks.append(check)
        if not as_json:
            fix = f"\n{'':<16}next: {check.fix}" if check.fix else ""
            typer.echo(f"{check.state:<8}{check.name:<20}{check.found}{fix}")
    if as_json:
        typer.echo(json.dumps([vars(check) for check in checks], indent=2))
    if any(check.state == "broken" for check in checks):
        raise typer.Exit(1)


def _columns(
    votes: Path,
    task: str,
    worker: str,
    label: str,
    answers: str | None,
    probabilities: str | None,
    abstain: list[str] | None,
) -> VotesSupervisor:
    from outgrow.supervisors.votes import VotesSupervisor

    if answers and probabilities:
        raise typer.BadParameter("a wide table holds answers or probabilities, not both")
    return VotesSupervisor(
        votes=str(votes),
        task=task,
        worker=worker,
        label=label,
        answers=answers,
        abstain=tuple(abstain or ()),
        probabilities=probabilities,
    )
