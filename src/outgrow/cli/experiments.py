"""Commands about experiments and their results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from outgrow import ranks
from outgrow.cli.console import (
    ExperimentFile,
    Json,
    Overrides,
    Plugins,
    Quiet,
    app,
    load_plugins,
    reporter_on_terminal,
    show,
)
from outgrow.errors import MissingFileError


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where results go.")] = Path("outgrow-runs/demo"),
    size: Annotated[str, typer.Option(help="`demo`, or `tiny` for a smoke test that proves nothing.")] = "demo",
    seeds: Annotated[int, typer.Option(help="Training seeds.", min=1)] = 3,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Watch a strong model outgrow its weak supervisors, offline, in a few minutes."""
    from outgrow.demo import demo_experiment

    with reporter_on_terminal(quiet=quiet) as reporter:
        experiment = demo_experiment(folder, size=size, seeds=seeds, reporter=reporter)
    _run(experiment, as_json=as_json, quiet=quiet)


@app.command()
def init(
    kind: Annotated[str, typer.Argument(help="crowd, rules, models, server, texts or sciq: what supervises.")],
    folder: Annotated[Path | None, typer.Argument(help="A folder that is not there yet; by default the kind.")] = None,
) -> None:
    """Write a folder with an experiment that runs as it is, on a small sample, to be changed into your own."""
    from outgrow.starters import write_starter

    file = write_starter(kind, folder or Path(kind))
    typer.echo(f"{file}\n\nNext: outgrow run {file}")


@app.command()
def run(
    file: ExperimentFile,
    overrides: Overrides = None,
    plugin: Plugins = None,
    as_json: Json = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what asking servers would cost: requests, tokens, money.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Run an experiment: what is in the store is not computed again."""
    from outgrow.experiment import Experiment

    load_plugins(plugin)
    experiment = Experiment.from_yaml(file, overrides or ())
    try:
        if not dry_run:
            return _run(experiment, as_json=as_json, quiet=quiet)
        lines = experiment.estimate() or ["No server would be asked."]
        typer.echo(json.dumps(lines, indent=2) if as_json else "\n".join(lines))
    except MissingFileError as error:
        made = re.search(r"^# {2,}((make|python) .*?)(,|  |$)", file.read_text(encoding="utf-8"), re.MULTILINE)
        if made is None:
            raise
        fix = f"Make it first, as the comments of {file} say: {made[1]}"
        raise MissingFileError(error.what, found=error.found, wanted=error.wanted, fix=fix) from error


@app.command()
def estimate(
    file: ExperimentFile,
    overrides: Overrides = None,
    plugin: Plugins = None,
    probe: Annotated[
        bool, typer.Option(help="Load the models and measure some seconds of their work; else use the speed below.")
    ] = True,
    flops: Annotated[float, typer.Option(help="Without probe: FLOP/s that reading and training reach.")] = 5e10,
    bandwidth: Annotated[float, typer.Option(help="Without probe: bytes a second from the device's memory.")] = 1e10,
    as_json: Json = False,
) -> None:
    """Estimate what a run would take, stage by stage: tokens, FLOPs, memory, time, GPU hours, and money at servers."""
    from outgrow.experiment import Experiment
    from outgrow.models.planning import Speed

    load_plugins(plugin)
    found = Experiment.from_yaml(file, overrides or ()).plan(None if probe else Speed(flops, bandwidth))
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else found.text())


@app.command()
def evaluate(
    file: ExperimentFile,
    predictions: Annotated[Path, typer.Argument(help="A table with id and answer; also name, role and seed.")],
    overrides: Overrides = None,
    plugin: Plugins = None,
    test: Annotated[str | None, typer.Option(help="A further test part, by name.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a table of predictions on the test part of an experiment's task."""
    from outgrow.experiment import Experiment

    load_plugins(plugin)
    with reporter_on_terminal(quiet=quiet) as reporter:
        results = Experiment.from_yaml(file, overrides or ()).evaluate(predictions, test=test, reporter=reporter)
    show(results, None, as_json=as_json, quiet=quiet)


@app.command()
def export(
    file: ExperimentFile,
    overrides: Overrides = None,
    plugin: Plugins = None,
    method: Annotated[str, typer.Option(help="Whose targets: a method of the experiment.")] = "naive",
    output: Annotated[Path, typer.Option("--output", "-o", help="A .jsonl file.")] = Path("messages.jsonl"),
    form: Annotated[str, typer.Option(help="messages, prompt-completion, or for choices labels.")] = "messages",
    seed: Annotated[int, typer.Option(help="The training seed whose labels these are.")] = 0,
    system: Annotated[str | None, typer.Option(help="A system message in front of every conversation.")] = None,
    card: Annotated[Path | None, typer.Option(help="Also write a data set card: a new Markdown file.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write what a student would learn, for a provider of fine-tuning or another trainer: a line of JSON each."""
    from outgrow.experiment import Experiment

    load_plugins(plugin)
    experiment = Experiment.from_yaml(file, overrides or ())
    with reporter_on_terminal(quiet=quiet) as reporter:
        count = experiment.export(method, output, seed=seed, form=form, system=system, card=card, reporter=reporter)
    if not quiet:
        typer.echo(f"{count} lines: {output}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="By default report.html in the folder.")] = None,
    examples: Annotated[bool, typer.Option(help="Whether the report shows rows of the data.")] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print the results of a finished run again and write its report."""
    from outgrow.results import Results

    results = Results.load(folder)
    path = output or folder / "report.html"
    results.save_report(path, examples=examples)
    show(results, path, as_json=as_json, quiet=quiet)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs; the first is the reference.")],
    as_json: Json = False,
) -> None:
    """Show the models of several runs side by side, with paired differences where they answered the same rows."""
    from outgrow.runs.comparing import compare_runs

    found = compare_runs(runs)
    if as_json:
        typer.echo(json.dumps([each.to_dict() for each in found], indent=2, allow_nan=False))
    else:
        typer.echo("\n\n".join(each.text() for each in found))


@app.command()
def config(file: ExperimentFile, overrides: Overrides = None, plugin: Plugins = None) -> None:
    """Print an experiment file with every default and override filled in."""
    import yaml

    from outgrow.config import load_config

    load_plugins(plugin)
    resolved = load_config(file, overrides or ()).model_dump(mode="json")
    typer.echo(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def schema(plugin: Plugins = None) -> None:
    """Print the JSON schema of experiment files, plug-ins included."""
    from outgrow.config import ExperimentConfig

    load_plugins(plugin)
    typer.echo(json.dumps(ExperimentConfig.model_json_schema(), indent=2))


def _run(experiment: Any, *, as_json: bool, quiet: bool) -> None:
    with reporter_on_terminal(quiet=quiet) as reporter:
        results = experiment.run(reporter=reporter)
    show(results, experiment.output / "report.html", as_json=as_json, quiet=quiet)
    ranks.leave()
