"""The command line: reads arguments, shows progress, prints results; everything else is the library."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from outgrow import ranks
from outgrow._version import __version__
from outgrow.errors import ConfigError, OutgrowError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a strong model from weak supervisors so that it ends up better than all of them, and prove it.",
)

ExperimentFile = Annotated[Path, typer.Argument(help="An experiment file (YAML).", metavar="FILE")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings to change: seeds=5 task.limit=500, or a YAML file of them.", metavar="KEY=VALUE…"),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="A .py file or a module that registers names; once for each.", metavar="FILE|MODULE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON; progress still goes to standard error.")]

_KEPT = "Finished work is kept: the same command goes on from there."


@app.callback(invoke_without_command=True)
def outgrow(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options that come before a command."""
    if show_version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where results go.")] = Path("outgrow-runs/demo"),
    size: Annotated[str, typer.Option(help="`demo`, or `tiny` for a smoke test that proves nothing.")] = "demo",
    seeds: Annotated[int, typer.Option(help="Training seeds.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Watch a strong model outgrow its weak supervisors, offline, in a few minutes."""
    from outgrow.demo import demo_experiment

    with _reporter() as reporter:
        experiment = demo_experiment(folder, size=size, seeds=seeds, reporter=reporter)
    _run(experiment, as_json=as_json)


@app.command()
def run(
    file: ExperimentFile,
    overrides: Overrides = None,
    plugin: Plugins = None,
    as_json: Json = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what asking servers would cost: requests, tokens, money.")
    ] = False,
) -> None:
    """Run an experiment: what is in the store is not computed again."""
    from outgrow.experiment import Experiment

    _load(plugin)
    experiment = Experiment.from_yaml(file, overrides or ())
    if dry_run:
        lines = experiment.estimate() or ["No server would be asked."]
        typer.echo(json.dumps(lines, indent=2) if as_json else "\n".join(lines))
        return
    _run(experiment, as_json=as_json)


@app.command()
def export(
    file: ExperimentFile,
    overrides: Overrides = None,
    plugin: Plugins = None,
    method: Annotated[str, typer.Option(help="Whose targets: a method of the experiment.")] = "naive",
    output: Annotated[Path, typer.Option("--output", "-o", help="A file of chat messages.")] = Path("messages.jsonl"),
    seed: Annotated[int, typer.Option(help="The training seed whose labels these are.")] = 0,
    system: Annotated[str | None, typer.Option(help="A system message in front of every conversation.")] = None,
) -> None:
    """Write what a student would learn as texts, for a provider of fine-tuning: {"messages": […]} a line."""
    from outgrow.experiment import Experiment

    _load(plugin)
    experiment = Experiment.from_yaml(file, overrides or ())
    with _reporter() as reporter:
        count = experiment.export(method, output, seed=seed, system=system, reporter=reporter)
    typer.echo(f"{count} conversations: {output}")


@app.command()
def save(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    method: Annotated[str, typer.Option(help="Whose student: a method of the experiment, or ceiling.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder that is not there yet.")],
    seed: Annotated[int | None, typer.Option(help="Its training seed; by default the first.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Add a LoRA adapter to the base model's weights.")] = False,
    plugin: Plugins = None,
) -> None:
    """Save a student as a folder that plain transformers load, with a model card."""
    from outgrow.results import Results

    _load(plugin)
    student = Results.load(run).save_student(method, output, seed=seed, merge=merge)
    typer.echo(f"{student.method}, seed {student.seed}: {output}")


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="A folder written by `outgrow save`.")],
    table: Annotated[str, typer.Argument(help="Rows: jsonl, csv, tsv (gz too) or parquet, read in pieces.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Answers: a new .csv or .parquet file.")] = Path(
        "predictions.csv"
    ),
    prompt: Annotated[
        str | None, typer.Option(help="The column with whole prompts; by default as in the experiment.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows at once.", min=1)] = 32,
    max_length: Annotated[int | None, typer.Option(help="Cut prompts of choices to so many tokens.", min=1)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps …")] = "auto",
    plugin: Plugins = None,
) -> None:
    """Answer the rows of a table with a saved student; a call that was killed goes on where it stopped."""
    from outgrow.students import predict as predict_rows

    _load(plugin)
    with _reporter() as reporter:
        count = predict_rows(
            folder, table, output,
            prompt=prompt, batch_size=batch_size, max_length=max_length, device=device, reporter=reporter,
        )  # fmt: skip
    typer.echo(f"{count} answers: {output}")


@app.command()
def evaluate(
    file: ExperimentFile,
    predictions: Annotated[Path, typer.Argument(help="A table with id and answer; also name, role and seed.")],
    overrides: Overrides = None,
    plugin: Plugins = None,
    test: Annotated[str | None, typer.Option(help="A further test part, by name.")] = None,
    as_json: Json = False,
) -> None:
    """Score a table of predictions on the test part of an experiment's task."""
    from outgrow.experiment import Experiment

    _load(plugin)
    with _reporter() as reporter:
        results = Experiment.from_yaml(file, overrides or ()).evaluate(predictions, test=test, reporter=reporter)
    _show(results, None, as_json=as_json)


@app.command()
def combine(
    votes: Annotated[Path, typer.Argument(help="A votes table: jsonl, csv, tsv (gz too) or parquet.")],
    method: Annotated[str, typer.Option(help="A combiner: dependence, majority …, or a plug-in's.")] = "dependence",
    output: Annotated[Path, typer.Option("--output", "-o", help="Posteriors: .parquet or .csv.")] = Path(
        "posteriors.parquet"
    ),
    task: Annotated[str, typer.Option(help="The column that says what was voted on.")] = "task",
    worker: Annotated[str, typer.Option(help="The column with the voter's name.")] = "worker",
    label: Annotated[str, typer.Option(help="The column with the choice; empty or -1 is an abstention.")] = "label",
    answers: Annotated[
        str | None, typer.Option(help="Wide tables of choices: a pattern such as pred.*; the star is the name.")
    ] = None,
    probabilities: Annotated[
        str | None, typer.Option(help="Wide tables: a pattern such as p_*; the star is the supervisor's name.")
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
) -> None:
    """Combine a table of votes into posteriors, and say what is known of the supervisors."""
    from outgrow.pipeline.checking import check as compare
    from outgrow.pipeline.voting import check_suffix, combine_table
    from outgrow.report.voting import summary_of, voting_text
    from outgrow.supervisors.votes import VotesSupervisor

    _load(plugin)
    if answers and probabilities:
        raise typer.BadParameter("a wide table holds answers or probabilities, not both")
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
    checked = compare(result, str(votes), task=task, answer=check) if check else None
    result.write(output)
    if as_json:
        about = summary_of(result.combined) | {"check": dataclasses.asdict(checked) if checked else None}
        typer.echo(json.dumps(about, indent=2, allow_nan=False))
    else:
        typer.echo(voting_text(result.combined))
        if checked:
            typer.echo(f"\n{checked.text()}")
        typer.echo(f"\nPosteriors: {output}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="By default report.html in the folder.")] = None,
    as_json: Json = False,
) -> None:
    """Print the results of a finished run again and write its report."""
    from outgrow.results import Results

    results = Results.load(folder)
    path = output or folder / "report.html"
    results.save_report(path)
    _show(results, path, as_json=as_json)


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
) -> None:
    """See when naive training fails and refinement helps: a table, a figure, its numbers and a page of explanation."""
    from outgrow.config import parse_settings
    from outgrow.registry import create, names
    from outgrow.theory.figures import write

    _load(plugin)
    settings = parse_settings(assignments or ())
    if topic == "all" and settings:
        raise ConfigError("Settings belong to one topic.", found="all", wanted="the name of a topic")
    topics = names("topic") if topic == "all" else [topic]
    for name in topics:
        asked = create("topic", name, settings)
        with _reporter() as reporter:
            finding = asked(reporter)
        typer.echo(f"{finding.title}\n\n{finding.summary.text()}\n")
        typer.echo("".join(f"{path}\n" for path in write(finding, name, output)))


@app.command()
def config(file: ExperimentFile, overrides: Overrides = None, plugin: Plugins = None) -> None:
    """Print an experiment file with every default and override filled in."""
    import yaml

    from outgrow.config import load_config

    _load(plugin)
    resolved = load_config(file, overrides or ()).model_dump(mode="json")
    typer.echo(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def schema(plugin: Plugins = None) -> None:
    """Print the JSON schema of experiment files, plug-ins included."""
    from outgrow.config import ExperimentConfig

    _load(plugin)
    typer.echo(json.dumps(ExperimentConfig.model_json_schema(), indent=2))


def main() -> None:
    """The console script: errors of the user without a traceback; exit codes 0, 1, 2 (usage) and 130 (interrupted)."""
    ranks.follow_launcher(lambda: _complain(f"Ended by the launcher, perhaps after another process failed. {_KEPT}"))
    try:
        app()
    except OutgrowError as error:
        ranks.give_way()
        _complain(error)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; so nothing can be printed.
        sys.stderr.close()
        sys.exit(1)
    except Exception:
        ranks.give_way()
        raise


def _load(plugins: list[str] | None) -> None:
    from outgrow.registry import load_plugin

    for one in plugins or ():
        load_plugin(one)


def _run(experiment: Any, *, as_json: bool) -> None:
    with _reporter() as reporter:
        results = experiment.run(reporter=reporter)
    _show(results, experiment.output / "report.html", as_json=as_json)
    ranks.leave()


def _show(results: Any, report_path: Path | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(results.to_json(), indent=2, allow_nan=False))
    else:
        from rich.console import Console

        from outgrow.report.words import headline

        console = Console()
        typer.echo(f"{headline(results.summary)}\n")
        typer.echo(results.table(color=console.is_terminal, width=console.width if console.is_terminal else None))
        if report_path is not None:
            typer.echo(f"\nReport: {report_path}")


@contextmanager
def _reporter() -> Iterator[Any]:
    from outgrow.progress import SilentReporter, reporter_for

    try:
        with reporter_for(sys.stderr) if ranks.first() else nullcontext(SilentReporter()) as reporter:
            yield reporter
    except KeyboardInterrupt:
        # Here, because typer would end without a word.
        if ranks.first():
            _complain(f"Interrupted. {_KEPT}")
        raise typer.Exit(130) from None


def _complain(problem: object) -> None:
    from rich.console import Console

    label = "Error" if isinstance(problem, OutgrowError) else "Stopped"
    Console(stderr=True, highlight=False).print(f"[bold red]{label}:[/]", end=" ")
    print(problem, file=sys.stderr)
