"""Every block of the documentation runs, with tiny models in place of those it names, and every link leads somewhere.

Tutorials have tests of their own (tests/test_tutorials.py); what takes long is slow.
"""

from __future__ import annotations

import csv
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml

from docs_blocks import PAGES, ROOT, Reader, blocks, links
from http_server import Answer, Asked, heard, reply, serving
from served_experiments import crowd, settings_in
from small_experiments import write_experiment
from tiny_models import WORDS, letter_decoder, make_encoder

ELSEWHERE = {
    "docs/extending.md": "tests/test_extending.py",
    "docs/tutorials/": "tests/test_tutorials.py",
    "examples/": "tests/test_example_*.py run scripts and settings with small models; as they are they take minutes",
}
"""Pages whose blocks other tests run."""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reader:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    return Reader(monkeypatch, capsys)


async def fake(asked: Asked) -> Answer:
    """Votes where a choice is asked for, else says something."""
    return Answer(reply("positive")) if "positive" in heard(asked) else await crowd(asked)


@pytest.fixture
def url() -> Iterator[str]:
    with serving(fake) as server:
        yield server.url


FOLLOWED: dict[str, Callable[[Reader, str], None]] = {}
"""What each page needs beforehand."""


def needs(page: str) -> Callable[[Callable[[Reader, str], None]], Callable[[Reader, str], None]]:
    def note(prepare: Callable[[Reader, str], None]) -> Callable[[Reader, str], None]:
        FOLLOWED[page] = prepare
        return prepare

    return note


@needs("docs/pgr.md")
@needs("docs/refinement.md")
@needs("docs/theory/README.md")
@needs("CONTRIBUTING.md")
def nothing(reader: Reader, url: str) -> None:
    """Such pages stand for themselves."""


@needs("docs/servers.md")
def a_task_with_servers(reader: Reader, url: str) -> None:
    reader.monkeypatch.setenv("URL", url)
    reader.monkeypatch.setenv("weak", "")
    settings = settings_in(Path(), url)
    Path("task.yaml").write_text(yaml.safe_dump({**settings, "methods": {"refined": settings["methods"]["refined"]}}))
    Path("examples").symlink_to(ROOT / "examples")
    questions(Path("questions.csv"))


@needs("docs/commands.md")
def tables_and_a_run(reader: Reader, url: str) -> None:
    decoder = str(letter_decoder(Path("decoder").absolute(), context=512))
    encoder = make_encoder(Path("encoder").absolute())
    reader.stand_ins = {
        "HuggingFaceTB/SmolLM2-135M-Instruct": decoder,
        "Qwen/Qwen3-8B": decoder,
        "ENCODER": str(encoder),
        "http://localhost:8000/v1": url,
    }
    questions(Path("questions.csv"))
    table(Path("reviews.csv"), [{"text": f"the plot was {word} {other}"} for word in WORDS[:6] for other in WORDS[:4]])
    table(Path("ratings.csv"), [{"task": "0", "text": "none", "content": "5", "concept": "5"}])
    Path("small").mkdir()
    path = write_experiment(
        Path("small"), encoder, strong={"model": str(encoder), "adapter": "probe"}, output="../outgrow-runs/my-run"
    )
    reader.call("outgrow", "run", str(path))


@needs("docs/experiments.md")
def a_starter_and_reviews(reader: Reader, url: str) -> None:
    reader.call("outgrow", "init", "rules", "my-rules")
    encoder = make_encoder(Path("encoder").absolute())
    task = {"path": "rows.jsonl", "columns": {"id": "id"}, "choices": ["negative", "positive"]}
    function = [{"function": "long_words", "threshold": 4}]
    write_experiment(Path(), encoder, task=task, supervisors=function).rename("reviews.yaml")
    reader.smaller = ["seeds=1", "strong.adapter=probe"]


def table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def questions(path: Path) -> None:
    table(path, [{"question": f"is {word} good"} for word in WORDS])


SLOW = ("docs/servers.md", "docs/commands.md", "docs/experiments.md")


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page for page in FOLLOWED]
)
def test_the_blocks_of_a_page_run_in_order(page: str, reader: Reader, url: str) -> None:
    FOLLOWED[page](reader, url)
    reader.follow(page)


@pytest.mark.filterwarnings("ignore:.*pin_memory")  # the Trainer's default, on a machine without an accelerator
def test_the_code_of_the_page_about_own_loops_runs_in_order(reader: Reader) -> None:
    reader.stand_ins = {
        "answerdotai/ModernBERT-base": str(make_encoder(Path("encoder").absolute())),
        "Qwen/Qwen3-0.6B": str(letter_decoder(Path("decoder").absolute())),
    }
    reader.follow("docs/own_loop.md")
    found = reader.namespace
    assert (found["predicted"].numpy() == found["truth"]).mean() > 0.8
    assert found["trainer"].state.global_step == 6
    assert all(torch.isfinite(parameter.grad).all() for parameter in found["student"].parameters())


def test_the_numbers_of_the_page_on_scaling_are_those_of_its_code(reader: Reader) -> None:
    reader.follow("docs/scaling.md")
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert [name for name, value in reader.namespace["table"] if f"| {name} | {value} |" not in page] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/start.md"])
def test_the_first_pages_lead_from_votes_to_labels(reader: Reader, page: str) -> None:
    reader.follow(page)
    assert len(Path("labels.csv").read_text().splitlines()) == 51


def test_every_page_with_a_block_is_run_by_some_test() -> None:
    own = {*FOLLOWED, "README.md", "docs/start.md", "docs/own_loop.md", "docs/scaling.md"}
    left = [page for page in PAGES if page not in own and not page.startswith(tuple(ELSEWHERE))]
    assert {page: blocks(page) for page in left if blocks(page)} == {}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"


def test_the_messages_of_the_page_on_troubles_are_in_the_source() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    plain = re.sub(r'\{[^{}"]*\}', "…", re.sub(r'"\s*\n\s*(?:f?r?)"', "", source))
    headings = re.findall(r"^## (.*)$", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.M)
    assert len(headings) > 20
    for heading in headings:
        for part in heading.replace(os.strerror(errno.ENOSPC), "").split("…"):
            assert part.strip(" .:,") in plain, f"{heading}: {part!r}"
