"""Commands about finished runs and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from outgrow.cli.console import Json, app

Folders = Annotated[
    list[Path] | None, typer.Argument(help="Folders with runs somewhere under them; by default outgrow-runs.")
]
_RUNS = Path("outgrow-runs")
_store = typer.Typer(no_args_is_help=True, help="Look after the store, where the results of all stages are kept.")
app.add_typer(_store, name="store")


@app.command(name="list")
def list_runs(folders: Folders = None, as_json: Json = False) -> None:
    """List finished runs, and what the store holds for them."""
    from outgrow.runs.keeping import finished_runs, holdings, holdings_text, runs_text

    runs = finished_runs(folders or [_RUNS])
    kept = holdings(runs)
    if as_json:
        told = {"runs": [{**vars(run), "artefacts": len(run.artefacts)} for run in runs]}
        stored = [{**vars(each), "unneeded": len(each.unneeded)} for each in kept]
        typer.echo(json.dumps({**told, "stores": stored}, indent=2))
    else:
        typer.echo(f"{runs_text(runs)}\n\n{holdings_text(kept)}")


@app.command()
def prune(
    folders: Folders = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it; by default only say what it is.")] = False,
) -> None:
    """Delete what the store holds for no run that it knows, or that is under some folders; runs make it again."""
    from outgrow.runs import keeping

    kept = [each for each in keeping.holdings(keeping.finished_runs(folders or [_RUNS])) if each.unneeded]
    if not kept:
        typer.echo("Everything in the store is for one of the runs.")
        return
    typer.echo(keeping.holdings_text(kept))
    if yes:
        typer.echo(f"\nDeleted: {keeping.size_text(keeping.prune(kept))}")
    else:
        size = keeping.size_text(sum(keeping.size_of(each.unneeded) for each in kept))
        typer.echo(f"\nNothing was deleted. `--yes` deletes what is for no run: {size}.")


@_store.command(name="check")
def check_store(
    folder: Annotated[Path | None, typer.Argument(help="A store; by default that of this environment.")] = None,
) -> None:
    """Read every file of the store and name what is damaged; runs set that aside and make it again."""
    from outgrow.runs.keeping import complete, damage
    from outgrow.store import Store

    root = folder or Store.default().root
    found = list(damage(root))
    typer.echo("\n".join([*found, f"{root}: {sum(1 for _ in complete(root))} artefacts, {len(found)} damaged"]))
    if found:
        raise typer.Exit(1)
