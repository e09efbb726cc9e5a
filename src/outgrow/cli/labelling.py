"""Commands that label tables, without an experiment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from outgrow.cli.console import Json, Plugins, Quiet, app, load_plugins, reporter_on_terminal

Rows = Annotated[str, typer.Argument(help="Rows: jsonl, csv, tsv (gz too), parquet or xlsx.", metavar="ROWS")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        help="Further settings as in an experiment: task.encoding=cp1252 generate.temperature=1 …",
        metavar="KEY=VALUE…",
    ),
]
Server = Annotated[str | None, typer.Option(help="Base URL of the server that has the model.", metavar="URL")]
Prompt = Annotated[str, typer.Option(help="The column with the texts or questions.")]
Id = Annotated[str | None, typer.Option("--id", help="The column with a unique name per row; by default its number.")]
Choices = Annotated[
    str | None, typer.Option(help="The choices, with commas between; by default labels are texts.", metavar="A,B,…")
]
Tokens = Annotated[int | None, typer.Option(help="Most tokens of a text.", min=1)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what asking the server would cost: requests and tokens.")
]


@app.command()
def label(
    table: Rows,
    model: Annotated[str, typer.Option(help="A language model: a folder, a hub id, or its name at the server.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new .csv, .jsonl or .parquet file.")],
    settings: Settings = None,
    server: Server = None,
    choices: Choices = None,
    prompt: Prompt = "text",
    identifier: Id = None,
    template: Annotated[
        str | None, typer.Option(help="How a row is asked, with {prompt} in it; a server also needs {choices}.")
    ] = None,
    max_new_tokens: Tokens = None,
    plugin: Plugins = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let a model label rows: votes for one of the choices, or texts. A call that was killed goes on where it was."""
    from outgrow.files import check_new
    from outgrow.pipeline.labelling import KINDS, experiment_on, write_labels
    from outgrow.pipeline.labelling import label as label_rows

    load_plugins(plugin)
    check_new(output, KINDS)
    named = _named(choices, settings)
    section: dict[str, Any] = {"model": model} | ({"server": server} if server else {})
    chosen = named is not None
    generate: dict[str, Any] = {}
    if chosen and server is None:
        section["ask"] = {} if template is None else {"query": template}
    elif template is not None:
        (section if chosen else generate)["template"] = template
    if max_new_tokens is not None:
        (section if chosen else generate)["max_new_tokens"] = max_new_tokens
    config = experiment_on(
        table, [section], settings or (), prompt=prompt, identifier=identifier, choices=named or None, generate=generate
    )
    found, run = _run(lambda run: label_rows(config, run), config, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if dry_run:
        return
    write_labels(found, output)
    votes = "label" in found.column_names
    said = found["label" if votes else "text"].drop_null()
    about: dict[str, Any] = {"rows": len({*found["task"].to_pylist()}), "labels": len(said), "output": str(output)}
    if votes:
        about["shares"] = {each["values"]: each["counts"] / len(said) for each in said.value_counts().to_pylist()}
    _tell(about, run, as_json=as_json, quiet=quiet)


@app.command()
def refine(
    table: Rows,
    weak: Annotated[
        list[str],
        typer.Option("--weak", help="Weak labels: task, worker, label, or task and text; once for each file."),
    ],
    settings: Settings = None,
    model: Annotated[
        str | None, typer.Option(help="The strong model: a folder, hub id, or name at the server.")
    ] = None,
    server: Server = None,
    refiner: Annotated[str, typer.Option(help="How it relabels: icl, infer_and_respond …, or a plug-in's.")] = "icl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Refined labels: a new .csv, .jsonl or .parquet file.")
    ] = None,
    refined: Annotated[
        str | None, typer.Option(help="Refined labels that exist: only audit them, without a model.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="With --refined: labels of the untouched strong model, to compare with.")
    ] = None,
    ratings: Annotated[
        str | None, typer.Option(help="With --refined: ratings of the texts: task, text, content, concept.")
    ] = None,
    choices: Choices = None,
    prompt: Prompt = "text",
    identifier: Id = None,
    max_new_tokens: Tokens = None,
    plugin: Plugins = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let a strong model label weakly labelled rows again, and audit that; or audit refined labels that exist."""
    from outgrow.files import check_new
    from outgrow.pipeline import labelling

    load_plugins(plugin)
    if (refined is None) == (model is None):
        raise typer.BadParameter("name either the strong --model, or the --refined labels to be audited")
    if (refined is None) != (output is not None):
        raise typer.BadParameter("--output goes with --model, and is where its labels are written")
    if refined is None and (base or ratings):
        raise typer.BadParameter("--base and --ratings go with --refined")
    if output is not None:
        check_new(output, labelling.KINDS)
    named = _named(choices, settings)
    files = [*weak, *filter(None, (refined, base))]
    config = labelling.experiment_on(
        table,
        [labelling.labels_section(file, named) for file in files],
        settings or (),
        prompt=prompt,
        identifier=identifier,
        choices=named or None,
        strong={"model": model} | ({"server": server} if server else {}) if model else None,
        refiner=refiner if refined is None else None,
        generate={"max_new_tokens": max_new_tokens} if max_new_tokens else None,
        ratings=ratings,
    )

    def work(run: Any) -> Any:
        return labelling.refine(config, run) if refined is None else labelling.audit(config, run, base=bool(base))

    found, run = _run(work, config, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if dry_run:
        return
    about: dict[str, Any] = {"audit": run.audits[0]}
    if output is not None:
        labelling.write_labels(found, output)
        about |= {"rows": len({*found["task"].to_pylist()}), "output": str(output)}
    _tell(about, run, as_json=as_json, quiet=quiet)


def _named(choices: str | None, settings: list[str] | None) -> list[str] | None:
    """The choices of all rows, none if every row has its own; None for texts."""
    if any(each.startswith("task.choices") for each in settings or ()):
        raise typer.BadParameter("name the choices with --choices")
    if any(each.startswith("task.columns.choices") for each in settings or ()):
        return []
    return None if choices is None else [choice.strip() for choice in choices.split(",")]


def _run(work: Callable[[Any], Any], config: Any, *, dry_run: bool, as_json: bool, quiet: bool) -> tuple[Any, Any]:
    """What was made, and the run that made it; a dry run says what it would cost."""
    from outgrow.models.server.costs import planned_costs
    from outgrow.report.notes import sentence
    from outgrow.run import Run
    from outgrow.scale.executor import executor_of
    from outgrow.store import Store

    store = Store(Path(config.store)) if config.store else Store.default()
    with reporter_on_terminal(quiet=quiet) as reporter, store.in_use():
        run = Run(store, reporter, executor_of(config.scale), dry=dry_run, sentence=sentence)
        found = work(run)
    run.add(*run.costs.notes())
    if dry_run:
        lines = planned_costs(run.planned) or ["No server would be asked."]
        typer.echo(json.dumps(lines, indent=2) if as_json else "\n".join(lines))
    return found, run


def _tell(about: dict[str, Any], run: Any, *, as_json: bool, quiet: bool) -> None:
    from outgrow.evaluate.wording import share_text
    from outgrow.report.refinement import audit_text
    from outgrow.results import plain

    if as_json:
        told = plain({**about, "notes": [note.to_json() for note in run.notes]})
        typer.echo(json.dumps(told, indent=2, allow_nan=False))
        return
    if quiet:
        return
    if "audit" in about:
        typer.echo(audit_text(plain(about["audit"])))
    for choice, share in about.get("shares", {}).items():
        typer.echo(f"{choice}: {share_text(share)}")
    for note in run.notes:
        typer.echo(f"! {run.sentence(note)}")
    if "output" in about:
        typer.echo(f"{about['rows']} rows: {about['output']}")
