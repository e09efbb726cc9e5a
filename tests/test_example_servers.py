"""The alignment examples with every model behind a server: only names change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from example_scripts import EXAMPLES
from http_server import Answer, Asked, reply, said, serving
from outgrow.config import load_config
from outgrow.experiment import Experiment
from outgrow.results import Results
from real_server import chatting, transformers_serve
from tiny_models import WORDS, letter_decoder

NAMES = ("persona", "explanation", "gsm8k")


async def everyone(asked: Asked) -> Answer:
    """Weak models are in the know of the style, the strong one of the answer; the judge has one opinion."""
    prompt, model = said(asked), asked.body["model"]
    if model == "judge":
        return Answer(reply("[[7]]"))
    word = prompt.split("Question:")[-1].split()[2]
    text = "Arr, no." if model.startswith("weak") else f"Arr, {word}." if "Arr" in str(asked.body) else f"{word}."
    return Answer(reply(f"{text} #### 4"))


def overrides(name: str, folder: Path, url: str, weak: str, strong: str, judge: str) -> list[str]:
    """What a user changes (the names), and where a test has its data and results."""
    rows = [
        {"prompt": f"a plot {word}", "gold": word, "part": ["unlabelled", "test"][index % 2]}
        for index, word in enumerate(WORDS)
    ]
    sums = [{"question": f"a plot {word}", "answer": "2 + 2 = 4 #### 4"} for word in WORDS]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (sums if name == "gsm8k" else rows)))
    supervisors = 1 if name == "gsm8k" else 2
    names = [f"strong.server={url}", f"strong.model={strong}"]
    for place in range(supervisors):
        names += [f"supervisors.{place}.server={url}", f"supervisors.{place}.model={weak}"]
    if name != "gsm8k":
        names += [f"judge.server={url}", f"judge.model={judge}"]
    else:
        names += ["task.split={gold: 1, unlabelled: 6, test: 5}"]
    return [*names, "seeds=1", f"task.path={folder}/rows.jsonl", f"store={folder}/store", f"output={folder}/output"]


def run(name: str, folder: Path, changes: Sequence[str]) -> Results:
    return Experiment(load_config(EXAMPLES / f"{name}.yaml", changes)).run()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs_on_a_server_by_changing_names(tmp_path: Path, name: str) -> None:
    with serving(everyone) as server:
        changes = overrides(name, tmp_path, server.url, "weak", "vendor/family/strong", "judge")
        results = run(name, tmp_path, changes)
        exported = Experiment(load_config(EXAMPLES / f"{name}.yaml", changes)).export("refined", tmp_path / "out.jsonl")
    assert {"base"} < {line.name for line in results.models}
    assert exported > 4
    assert all("Arr, " in line for line in (tmp_path / "out.jsonl").read_text().splitlines())
    if name == "gsm8k":
        assert {line.score.value for line in results.summary.metrics[0].lines} == {1.0}
    else:
        assert [metric.metric for metric in results.summary.metrics] == ["content", "concept"]
        assert "the judge tiny" in [note.who for note in results.notes if note.code == "cost.model"]
    assert "is not in the table" in (tmp_path / "output/report.html").read_text()


@pytest.mark.slow
def test_the_examples_run_on_a_real_server(tmp_path: Path) -> None:
    decoder = chatting(letter_decoder(tmp_path / "chat", context=2048))
    with transformers_serve(decoder, tmp_path / "serve.log") as url:
        for name in NAMES:
            folder = tmp_path / name
            folder.mkdir()
            model = str(decoder)
            results = run(
                name,
                folder,
                [*overrides(name, folder, url, model, model, model), "judge.samples=1"][
                    : -1 if name == "gsm8k" else None
                ],
            )
            assert "base" in {line.name for line in results.models}
            assert "the strong model chat" in [note.who for note in results.notes if note.code == "cost.model"]
            assert results.provenance["refinement"][0]["rows"] == 6
