"""The command by which people become supervisors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outgrow.cli.console import Overrides, Plugins, app, load_plugins
from outgrow.errors import ConfigError, StoreError


@app.command()
def annotate(
    file: Annotated[Path, typer.Argument(help="A table, or an experiment file whose task is annotated.")],
    overrides: Overrides = None,
    annotators: Annotated[str, typer.Option(help="Names, such as ann,ben: a link for each. Kept ones stay.")] = "",
    question: Annotated[str, typer.Option(help="What is asked, above every text.")] = "",
    checks: Annotated[float, typer.Option(help="Share of questions whose answer the table knows.")] = 0.1,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Votes, an SQLite file; by default in outgrow-runs, after FILE."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Only write the votes so far: a .jsonl or .csv file of task, worker, label.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; by default this machine only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 for any free one.", min=0, max=65535)] = 8765,
    plugin: Plugins = None,
) -> None:
    """Ask people about the rows of a table on a local web page, and keep their votes as a supervisor's."""
    from filelock import FileLock, Timeout

    from outgrow.annotate import Ledger, Session, read_items, write_votes
    from outgrow.annotate.server import listen, make_app, serve
    from outgrow.report.table import columns_text

    load_plugins(plugin)
    rows = read_items(file, overrides or ())
    output = output or Path("outgrow-runs") / f"{file.name.partition('.')[0]}-votes.sqlite"
    if export is not None:
        if not output.is_file():
            raise StoreError(f"There are no votes in {output}.", fix="Name their file with --output.")
        votes = Ledger(output, rows).votes()
        write_votes(votes, export)
        typer.echo(f"{len(votes)} votes: {export}")
        return
    ledger = Ledger(output, rows)
    try:
        lock = FileLock(f"{output}.lock", timeout=0).acquire()
    except Timeout:
        ledger.close()
        raise StoreError(f"{output} is served by another process already.", fix="Stop it first.") from None
    with lock:
        tokens = ledger.add_annotators([name.strip() for name in annotators.split(",") if annotators])
        if not tokens:
            raise ConfigError("Nobody annotates.", wanted="names", fix="Set --annotators ann,ben.")
        session = Session(rows, ledger, list(tokens), checks=checks, question=question)
        server = make_app(session, tokens)
        listening = listen(host, port)
        where = f"[{host}]" if ":" in host else host
        port = listening.getsockname()[1]
        for name, token in tokens.items():
            typer.echo(f"{name:<20} http://{where}:{port}/#{token}")
        if host not in ("127.0.0.1", "::1", "localhost"):
            typer.echo("Texts and votes cross the network unencrypted: use a tunnel or a proxy with TLS.", err=True)
        typer.echo(f"Votes: {output}. Ctrl-C ends.", err=True)
        serve(server, listening)
    found, votes = session.progress(), ledger.votes()
    ledger.close()
    typer.echo(columns_text(list(found[0]), [list(map(str, own.values())) for own in found]))
    if len(votes):
        written = output.with_suffix(".jsonl")
        write_votes(votes, written)
        typer.echo(f"\nVotes: {written}\n\nNext: outgrow combine {written}")
