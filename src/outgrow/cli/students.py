"""Commands about students in use."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from outgrow.cli.console import Plugins, Quiet, app, load_plugins, reporter_on_terminal


@app.command()
def save(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    method: Annotated[str, typer.Option(help="Whose student: a method of the experiment, or ceiling.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder that is not there yet.")],
    seed: Annotated[int | None, typer.Option(help="Its training seed; by default the first.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Add a LoRA adapter to the base model's weights.")] = False,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Also send it to a new private repository of the hub.", metavar="OWNER/NAME")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everyone see that repository.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list every file; nothing is kept or sent.")] = False,
    plugin: Plugins = None,
) -> None:
    """Save a student as a folder that plain transformers load, with a model card."""
    from outgrow.results import Results
    from outgrow.students.publishing import files_of, publish

    load_plugins(plugin)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "student" if dry_run else output
        student = Results.load(run).save_student(method, folder, seed=seed, merge=merge)
        if dry_run:
            typer.echo("".join(f"{size:>13,}  {name}\n" for name, size in files_of(folder).items()), nl=False)
            seen = "public" if public else "private"
            typer.echo(f"Not sent to {push_to_hub} ({seen})." if push_to_hub else f"Not written to {output}.")
            return
    typer.echo(f"{student.method}, seed {student.seed}: {output}")
    if push_to_hub:
        typer.echo(publish(output, push_to_hub, private=not public))


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="A folder written by `outgrow save`; or with --method that of a run.")],
    table: Annotated[str, typer.Argument(help="Rows: jsonl, csv, tsv (gz too) or parquet, read in pieces.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Answers: a new .csv or .parquet file.")] = Path(
        "predictions.csv"
    ),
    method: Annotated[str | None, typer.Option(help="Of a run: whose student answers, without saving it.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of a run: its training seed; by default the first.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="The column with whole prompts; by default as in the experiment.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of a text file, such as cp1252; by default as in the experiment, or UTF-8.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows at once.", min=1)] = 32,
    max_length: Annotated[int | None, typer.Option(help="Cut prompts of choices to so many tokens.", min=1)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps …")] = "auto",
    plugin: Plugins = None,
    quiet: Quiet = False,
) -> None:
    """Answer the rows of a table with a saved student; a call that was killed goes on where it stopped."""
    from outgrow.results import Results
    from outgrow.students import predict as predict_rows

    load_plugins(plugin)
    with TemporaryDirectory() as temporary, reporter_on_terminal(quiet=quiet) as reporter:
        if method is not None:
            run, folder = folder, Path(temporary) / "student"
            Results.load(run).save_student(method, folder, seed=seed)
        count = predict_rows(
            folder, table, output,
            prompt=prompt, encoding=encoding, batch_size=batch_size, max_length=max_length, device=device,
            reporter=reporter,
        )  # fmt: skip
    if not quiet:
        typer.echo(f"{count} answers: {output}")
