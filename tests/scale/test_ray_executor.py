"""The Ray executor's own part, on a stand-in for Ray whose actors run in this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outgrow import registry
from outgrow.cli import app
from outgrow.errors import ConfigError, MissingExtraError, ModelError, OutgrowError
from outgrow.experiment import Experiment
from outgrow.models.loading import weights_identity
from outgrow.scale import ray as executor
from outgrow.scale.ray import RayExecutor
from small_experiments import write_experiment

ray = pytest.importorskip("ray")
cloudpickle = pytest.importorskip("ray.cloudpickle")


class TaskError(ray.exceptions.RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Lost(Exception):
    """Ends the worker that raises it."""


class Call:
    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method

    def remote(self, *args: Any) -> partial[Any]:
        return partial(self.method, *args)


class Actor:
    def __init__(self, kind: type) -> None:
        thing = kind()
        self.start, self.run = Call(thing.start), Call(thing.run)


class Cluster:
    """What the executor uses of Ray."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.actors: list[Actor] = []
        self.killed: list[Actor] = []
        self.resources = {"CPU": 8.0}
        for name in ("remote", "wait", "get", "kill", "nodes"):
            monkeypatch.setattr(ray, name, getattr(self, name))
        monkeypatch.setattr(ray, "is_initialized", lambda: True)
        monkeypatch.setattr(ray.exceptions, "RayTaskError", TaskError)
        monkeypatch.setattr(registry, "_PLUGINS", [])

    def remote(self, **resources: float) -> Callable[[type], Any]:
        def made(kind: type) -> Any:
            def start() -> Actor:
                self.actors.append(Actor(kind))
                return self.actors[-1]

            return type("Handle", (), {"remote": staticmethod(start)})

        return made

    def wait(self, results: list[Any], timeout: float | None) -> tuple[list[Any], list[Any]]:
        return results[:1], results[1:]

    def get(self, result: Callable[[], Any]) -> Any:
        try:
            return result()
        except Lost as error:
            raise ray.exceptions.RayActorError from error
        except Exception as error:
            raise TaskError(error) from error

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": self.resources}]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


class Model:
    """Fails at a piece so many times; in batches of at most two it does not."""

    failures: Sequence[Exception] = ()

    def __init__(self) -> None:
        self.batch_size, self.notes = 4, ["a note"]


def squares(model: Model, items: Sequence[int]) -> list[int]:
    if 5 in items and Model.failures:
        [error, *Model.failures] = Model.failures
        raise error
    return [item * item for item in items]


def mapped(work: Any = squares, pieces: int = 4, *, workers: int = 3, gpus: float = 0) -> tuple[Any, list[str]]:
    """The results of pieces of two numbers, and the notes."""
    notes: list[str] = []
    given = RayExecutor(workers=workers, gpus_per_worker=gpus)
    with given.open(Model, seen=int, say=notes.append) as apply:
        found = dict(apply(work, ((index, range(2 * index, 2 * index + 2)) for index in range(pieces))))
    return [number for index in range(pieces) for number in found[index]], notes


RIGHT = [0, 1, 4, 9, 16, 25, 36, 49]


def test_all_pieces_come_back_and_the_workers_end(cluster: Cluster) -> None:
    assert mapped() == (RIGHT, ["a note"])
    assert len(cluster.actors) == 3
    assert {*cluster.killed} == {*cluster.actors}


def test_no_more_workers_are_started_than_there_are_pieces(cluster: Cluster) -> None:
    assert mapped(pieces=2)[0] == RIGHT[:4]
    assert len(cluster.actors) == 2
    assert mapped(pieces=0) == ([], [])
    assert len(cluster.actors) == 2


def test_workers_are_kept_between_calls(cluster: Cluster) -> None:
    with RayExecutor(workers=2).open(Model, seen=int, say=print) as apply:
        for _ in range(3):
            assert dict(apply(squares, [(0, [2]), (1, [3])])) == {0: [4], 1: [9]}
    assert len(cluster.actors) == 2


def test_a_lost_worker_costs_its_piece(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "failures", [Lost()])
    assert mapped() == (RIGHT, ["a worker was lost: its 2 rows are done again", "a note"])
    assert len(cluster.actors) == 4


def test_rows_that_lose_two_workers_are_tried_with_half_the_batch_and_then_given_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def work(model: Model, items: Sequence[int]) -> list[int]:
        sizes.append(model.batch_size)
        return squares(model, items)

    monkeypatch.setattr(Model, "failures", [Lost(), Lost()])
    found, notes = mapped(work, workers=1)
    assert (found, notes[1]) == (RIGHT, "a worker was lost: its 2 rows are done again, with half the batch size")
    assert sizes == [4, 4, 4, 4, 2, 2]
    monkeypatch.setattr(Model, "failures", [Lost()] * 3)
    with pytest.raises(ModelError, match="3 workers were lost on the same rows"):
        mapped()


def test_memory_that_is_too_small_halves_the_batch_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "failures", [RuntimeError("DefaultCPUAllocator: can't allocate memory")])
    found, notes = mapped()
    assert found == RIGHT
    assert notes[0] == "the memory of a worker is too small: its 2 rows are done again, with half the batch size"
    assert len(cluster.actors) == 3
    monkeypatch.setattr(Model, "failures", [MemoryError(), MemoryError()])
    with pytest.raises(ModelError, match="The memory of a worker is too small"):
        mapped()


def test_an_error_of_the_model_is_raised_here_and_ends_the_workers(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "failures", [ConfigError("no", fix="yes")])
    with pytest.raises(ConfigError, match="yes"):
        mapped()
    assert {*cluster.killed} == {*cluster.actors}


def test_gpus_that_are_not_there_are_an_error(cluster: Cluster) -> None:
    with pytest.raises(ConfigError, match=r"at most 0 GPUs[\s\S]*gpus_per_worker: 2"):
        mapped(gpus=2)
    cluster.resources = {"GPU": 2.0}
    assert mapped(gpus=2)[0] == RIGHT


def test_no_cluster_at_the_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(address: str, **options: Any) -> None:
        raise ConnectionError(f"Could not find any running Ray instance at {address}.\nMore.")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(ConfigError, match=r"scale.address is auto[\s\S]*instance at auto\.\n[\s\S]*ray start --head"):
        RayExecutor("auto").connect()


def test_a_worker_without_outgrow_or_with_another_version_says_so() -> None:
    worker = executor._worker_class()
    node, found = worker().start("0.0.0", [], b"")
    assert "another version" in str(executor._other_version(node, found))
    program = (
        "import sys, cloudpickle; sys.modules['outgrow'] = None; "
        "print(cloudpickle.loads(sys.stdin.buffer.read())().start('1', [], b'')[1])"
    )
    done = subprocess.run([sys.executable, "-c", program], input=cloudpickle.dumps(worker), capture_output=True)
    assert done.stdout == b"None\n", done.stderr
    assert f"The worker on {node} has no outgrow" in str(executor._other_version(node, None))


def test_a_worker_that_sees_no_model_or_another_one_says_so(encoder_folder: Path) -> None:
    def loads(folder: Path, wanted: object) -> Any:
        seen = partial(weights_identity, str(folder))
        return executor.load_model([], cloudpickle.dumps((dict, seen, wanted)))

    assert loads(encoder_folder, weights_identity(str(encoder_folder))) == {}
    with pytest.raises(ModelError, match=r"A worker on \S+ cannot load the model[\s\S]*as in the process of the run"):
        loads(encoder_folder, "other")
    with pytest.raises(ModelError, match=r"There is no model folder[\s\S]*a file system that all nodes see"):
        loads(encoder_folder / "none", "any")


def test_plug_ins_come_along_and_a_file_that_is_not_there_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my metric.py"
    path.write_text(
        "from outgrow import register\n\n@register('metric', 'brought')\ndef brought(answers, gold):\n    return []\n"
    )
    monkeypatch.setattr(registry, "_PLUGINS", [str(path), "json"])
    monkeypatch.setitem(registry._REGISTERED, "metric", {})
    sources = registry.plugin_sources()
    assert [where for where, _ in sources] == [str(path), "json"]
    path.unlink()
    registry.load_sources(sources)
    assert registry.lookup("metric", "brought")([], []) == []


def test_errors_survive_the_way_between_processes() -> None:
    for error in (ConfigError("what", found=1, wanted=2, fix="so"), MissingExtraError("LoRA", "peft")):
        back = cloudpickle.loads(cloudpickle.dumps(error))
        assert (type(back), str(back), back.fix) == (type(error), str(error), error.fix)


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        ({"executor": "rey"}, "did you mean 'ray'"),
        ({"workers": 4}, "The executor 'local' has no parameter 'workers'"),
        ({"executor": "ray", "worker": 4}, "did you mean 'workers'"),
        ({"executor": "ray", "workers": 0}, "workers are at least 1"),
        ({"executor": "ray", "gpus_per_worker": 1.5}, "a whole number, or below 1"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_done(
    scale: dict[str, Any], said: str, encoder_folder: Path, tmp_path: Path
) -> None:
    path = write_experiment(tmp_path, encoder_folder, scale=scale)
    with pytest.raises(OutgrowError, match=said):
        Experiment.from_yaml(path).run()
    assert not (tmp_path / "store").exists()


def test_without_ray_the_install_line_is_named(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "find_spec", lambda _: None)
    path = write_experiment(tmp_path, encoder_folder)
    done = CliRunner().invoke(app, ["run", str(path), "scale.executor=ray"])
    assert "pip install 'outgrow[ray]'" in str(done.exception)
