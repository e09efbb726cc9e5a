"""Commands that need no experiment."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from outgrow.cli.console import Json, Plugins, Quiet, app, load_plugins, reporter_on_terminal
from outgrow.errors import ConfigError


@app.command()
def combine(
    votes: Annotated[Path, typer.Argument(help="A votes table: jsonl, csv, tsv (gz too) or parquet.")],
    method: Annotated[str, typer.Option(help="A combiner: dependence, majority …, or a plug-in's.")] = "dependence",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Posteriors: .parquet or .csv; by default in outgrow-runs, after VOTES."),
    ] = None,
    task: Annotated[str, typer.Option(help="The column that says what was voted on.")] = "task",
    worker: Annotated[str, typer.Option(help="The column with the voter's name.")] = "worker",
    label: Annotated[str, typer.Option(help="The column with the choice; empty or -1 is an abstention.")] = "label",
    answers: Annotated[
        str | None, typer.Option(help="Wide tables of choices: a pattern such as pred.*; the star is the name.")
    ] = None,
    probabilities: Annotated[
        str | None,
        typer.Option(help="Wide tables: a pattern such as p_* or p_*_{choice}; the star is the supervisor's name."),
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(help="A label that is a choice, once for each; by default all but -1.")
    ] = None,
    abstain: Annotated[list[str] | None, typer.Option(help="A further label that is an abstention.")] = None,
    gold: Annotated[str | None, typer.Option(help="A column with known answers, empty where unknown.")] = None,
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
    from outgrow.supervisors.votes import VotesSupervisor

    load_plugins(plugin)
    if answers and probabilities:
        raise typer.BadParameter("a wide table holds answers or probabilities, not both")
    output = output or Path("outgrow-runs") / f"{votes.name.partition('.')[0]}-posteriors.parquet"
    check_suffix(output)
    columns = VotesSupervisor(
        votes=str(votes),
        task=task,
        worker=worker,
        label=label,
        answers=answers,
        abstain=tuple(abstain or ()),
        probabilities=probabilities,
    )
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
