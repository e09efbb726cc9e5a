"""The code blocks of the documentation, and how they run: `outgrow` in this process, small models for named ones."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from outgrow import cli
from outgrow.config import parse_config

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "docs/tutorials/*.md", "docs/theory/README.md", "examples/**/README.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
OUTPUT = {"text", "json"}
"""What is shown and not run."""

LEFT_OUT = {
    "make": "`make check` and `make test` run with every change, the other targets take minutes",
    "pip": "changes the environment",
    "accelerate": "starts several processes; tests/test_examples.py reads its configurations",
    "torchrun": "starts several processes; tests/test_ranks.py and tests/train/test_several_processes.py do",
    "ray": "starts a cluster",
}
"""Commands that no test of a page runs, and why."""

_SHELL = """
set -eu
said() { printf '%s\\0' "$@"; printf '\\1\\0'; }
outgrow() { said outgrow "$@"; }
python() { said python "$@"; }
export() { builtin export "$@"; said export "$@"; }
"""
"""Functions under which bash prints the commands of a block, with its variables and loops worked out."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str

    def commands(self) -> list[list[str]]:
        """The commands of a shell block as words, without those that are left out."""
        silent = "".join(f"{name}() {{ :; }}\n" for name in LEFT_OUT)
        done = subprocess.run(["bash", "-c", _SHELL + silent + self.text], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"no test knows how to run this block of {self.page}:\n{self.text}{done.stderr}"
        return [command.split("\0")[:-1] for command in done.stdout.split("\1\0")[:-1]]


def blocks(page: str) -> list[Block]:
    """Return all blocks of a page that are meant to run."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.S | re.M)
    return [Block(page, language, text) for language, text in found if language not in OUTPUT]


class Reader:
    """Somebody who follows pages in an empty folder.

    Args:
        monkeypatch: Undoes what commands set.
        stand_ins: Names of models, addresses and the like, and what takes their place.
        smaller: Settings that are added to every `outgrow run`, so that it ends soon.
        capsys: Output of commands is read from it.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        stand_ins: Mapping[str, str] | None = None,
        smaller: Sequence[str] = (),
    ) -> None:
        self.monkeypatch, self.capsys, self.smaller = monkeypatch, capsys, smaller
        self.stand_ins = stand_ins or {}
        self.said: dict[str, str] = {}
        self.namespace: dict[str, Any] = {"__name__": "__main__"}

    def follow(self, page: str) -> dict[str, str]:
        """Run all blocks of a page in order; return what each command printed."""
        for block in blocks(page):
            text = self._replaced(block.text)
            if block.language == "python":
                exec(compile(text, page, "exec"), self.namespace)
            elif block.language == "yaml":
                self._yaml(text)
            else:
                for command in Block(page, block.language, text).commands():
                    self.call(*command)
        return self.said

    def _replaced(self, text: str) -> str:
        for name, own in self.stand_ins.items():
            text = text.replace(name, own)
        return text

    def _yaml(self, text: str) -> None:
        """Write a block whose first line names a file; check that another one belongs into an experiment."""
        named = re.match(r"# (\S+\.yaml)\b", text)
        if named:
            Path(named[1]).write_text(text, encoding="utf-8")
            return
        whole = {"task": {"path": "rows.csv"}, "supervisors": [{"votes": "votes.csv"}], "strong": {"model": "m"}}
        parse_config(whole | yaml.safe_load(text))

    def call(self, *words: str) -> None:
        """Run a command."""
        if words[0] == "export":
            for word in words[1:]:
                self.monkeypatch.setenv(*word.split("=", 1))
            return
        if words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], check=True)
            return
        self.monkeypatch.setattr(sys, "argv", [*words, *(self.smaller if words[1] == "run" else ())])
        with pytest.raises(SystemExit) as end:
            cli.main()
        command, told = shlex.join(words), self.capsys.readouterr()
        self.said[command] = told.out
        assert not end.value.code, f"{command}\n{told.err}"


def links(page: str) -> Iterator[str]:
    """Yield the relative links of a page."""
    yield from re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
