"""A cluster on this machine: workers are killed, and the artefacts are those of a run in one process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outgrow import registry
from outgrow.errors import OutgrowError
from outgrow.files import read_json
from outgrow.labels import Rows
from outgrow.models.protocols import GenerateOptions
from outgrow.models.specs import LocalModel
from outgrow.pipeline.labelling import experiment_on, refine
from outgrow.progress import SilentReporter
from outgrow.run import Run
from outgrow.scale import generation
from outgrow.scale.executor import Executor
from outgrow.scale.local import LocalExecutor
from outgrow.scale.ray import RayExecutor
from outgrow.store import Store
from outgrow.supervisors.texts import score, write
from outgrow.train import features
from outgrow.train.features import FrozenFeatures
from tiny_models import WORDS

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

PLUGIN = """
import os, signal
from pathlib import Path
from outgrow.models.local import LocalLanguageModel

def dying(method, kept=Path({kept!r})):
    calls = []
    def call(self, items, *args, **options):
        step = f"{{method.__name__}}-{{len(str(items[0])) > 60}}"
        if os.getpid() != {driver} and step in calls and not (kept / step).exists():
            (kept / step).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(step)
        return method(self, items, *args, **options)
    return call

LocalLanguageModel.generate = dying(LocalLanguageModel.generate)
LocalLanguageModel.logprobs = dying(LocalLanguageModel.logprobs)
"""


class Noting(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module", autouse=True)
def _ends() -> Iterator[None]:
    import ray

    yield
    ray.shutdown()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> RayExecutor:
    """Three workers on this machine."""
    monkeypatch.setattr(registry, "_PLUGINS", [])
    monkeypatch.setattr(generation, "SHARD_ROWS", 8)
    monkeypatch.setattr(features, "SHARD_ROWS", 16)
    return RayExecutor(workers=3)


def sums(root: Path) -> dict[str, dict[str, str]]:
    """The SHA-256 of the files of all artefacts, by kind and key."""
    paths = root.glob("*/*/manifest.json")
    return {str(path.parent.relative_to(root)): read_json(path)["sha256"] for path in paths}


def test_workers_that_are_killed_change_no_artefact(
    cluster: RayExecutor,
    decoder_folder: Path,
    encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    prompts = [f"the {one} film is {other}" for one in WORDS[:9] for other in WORDS[:9]]
    ids = tuple(str(index) for index in range(len(prompts)))
    lines = [json.dumps({"id": row, "text": prompt}) for row, prompt in zip(ids, prompts, strict=True)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    weak = [json.dumps({"task": row, "text": prompt.split()[-1]}) for row, prompt in zip(ids, prompts, strict=True)]
    (tmp_path / "weak.jsonl").write_text("\n".join(weak))
    rows = Rows(ids, tuple(prompts), (None,) * len(ids), ("unlabelled",) * len(ids), None)
    model = LocalModel(str(decoder_folder), "weak", batch_size=4)
    config = experiment_on(
        str(tmp_path / "rows.jsonl"), [{"texts": str(tmp_path / "weak.jsonl")}], ["refine.demonstrations=3"],
        identifier="id", strong={"model": str(decoder_folder)}, refiner="icl", generate={"max_new_tokens": 4},
    )  # fmt: skip

    def work(executor: Executor, where: str) -> tuple[Any, list[str]]:
        reporter = Noting()
        run = Run(Store(tmp_path / where), reporter, executor)
        texts = write(model, ids, prompts, GenerateOptions(max_new_tokens=4), run)
        answers = [[" " + one.text for one in cell] or [" a"] for (cell,) in texts.texts]
        score(model, ids, prompts, answers, run)
        FrozenFeatures(str(encoder_folder), None, 8)(rows, run)
        refine(config, run)
        return sums(tmp_path / where), reporter.notes

    expected, _ = work(LocalExecutor(), "local")
    assert {name.partition("/")[0] for name in expected} == {"texts", "scores", "features", "refined"}
    (tmp_path / "plugin.py").write_text(PLUGIN.format(kept=str(tmp_path), driver=os.getpid()))
    monkeypatch.setattr(registry, "_PLUGINS", [str(tmp_path / "plugin.py")])
    capfd.readouterr()
    found, notes = work(cluster, "ray")
    assert found == expected
    assert capfd.readouterr().out == ""
    assert [note for note in notes if "worker was lost" in note] == ["a worker was lost: its 8 rows are done again"] * 3


def test_what_a_worker_cannot_do_is_said(
    cluster: RayExecutor, decoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def texts(executor: Executor) -> None:
        model = LocalModel(str(decoder_folder), "weak")
        write(model, ("0",), ["a film"], GenerateOptions(max_new_tokens=2), Run(Store(tmp_path), executor=executor))

    with pytest.raises(OutgrowError, match=r"nodes with at most 0 GPUs[\s\S]*gpus_per_worker: 1"):
        texts(RayExecutor(gpus_per_worker=1))
    (tmp_path / "plugin.py").write_text("from outgrow.config import Local\nLocal.dtype = 'bfloat16'\n1 / 0")
    monkeypatch.setattr(registry, "_PLUGINS", [str(tmp_path / "plugin.py")])
    with pytest.raises(OutgrowError, match=r"A worker on \S+ cannot load the model. The plug-in .* cannot be loaded"):
        texts(cluster)
    monkeypatch.setattr(registry, "_PLUGINS", [])
    monkeypatch.setattr("outgrow.scale.ray.__version__", "0.0.0")
    with pytest.raises(OutgrowError, match=r"another version of outgrow[\s\S]*wanted: 0.0.0"):
        texts(cluster)
