"""What the commands share: the app, arguments, progress, output, errors and exit codes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer

from outgrow import ranks
from outgrow._version import __version__
from outgrow.errors import OutgrowError, visible

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
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
Json = Annotated[
    bool, typer.Option("--json", help="Print results and errors as JSON; progress still goes to standard error.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor tables, only errors.")]

_COLOUR = re.compile("(\x1b\\[[0-9;]*m)")
_KEPT = "Finished work is kept: the same command goes on from there."


@app.callback(invoke_without_command=True)
def outgrow(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options that come before a command."""
    if show_version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """The console script: errors of the user without a traceback; exit codes 0, 1, 2 (usage) and 130 (interrupted).

    With `--json` such an error is also an object on standard output, as in npm and terraform.
    """
    ranks.follow_launcher(lambda: _complain(f"Ended by the launcher, perhaps after another process failed. {_KEPT}"))
    try:
        with redirect_stdout(cast("TextIO", _Terminal(sys.stdout))):
            app()
    except OutgrowError as error:
        ranks.give_way()
        _complain(error)
        if "--json" in sys.argv:
            typer.echo(json.dumps(_as_json(error), indent=2))
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; so nothing can be printed.
        sys.stderr.close()
        sys.exit(1)
    except Exception:
        ranks.give_way()
        raise


class _Terminal:
    """Standard output on which no name or note from a data file moves the cursor; colours pass."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        parts = _COLOUR.split(text)
        return int(
            self._stream.write("".join(part if index % 2 else visible(part) for index, part in enumerate(parts)))
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def load_plugins(plugins: list[str] | None) -> None:
    """Load what `--plugin` names."""
    from outgrow.registry import load_plugin

    for one in plugins or ():
        load_plugin(one)


def show(results: Any, report_path: Path | None, *, as_json: bool, quiet: bool = False) -> None:
    """Print results as JSON, or as a table unless `quiet`."""
    if as_json:
        typer.echo(json.dumps(results.to_json(), indent=2, allow_nan=False))
    elif not quiet:
        from rich.console import Console

        from outgrow.report.words import headline

        console = Console()
        typer.echo(f"{headline(results.summary)}\n")
        typer.echo(results.table(color=console.is_terminal, width=console.width if console.is_terminal else None))
        if report_path is not None:
            typer.echo(f"\nReport: {report_path}")


@contextmanager
def reporter_on_terminal(*, quiet: bool = False) -> Iterator[Any]:
    """Yield what shows progress on standard error, unless `quiet`; an interruption ends with 130."""
    from outgrow.progress import SilentReporter, reporter_for

    try:
        with reporter_for(sys.stderr) if ranks.first() and not quiet else nullcontext(SilentReporter()) as reporter:
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


def _as_json(error: OutgrowError) -> dict[str, Any]:
    said = {"what": error.what, "found": error.found, "wanted": error.wanted, "fix": error.fix}
    texts = {key: None if value is None else str(value) for key, value in said.items()}
    return {"error": {"kind": type(error).__name__, **texts, "exit_code": 1}}
