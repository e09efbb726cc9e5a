"""Models in the workers of a Ray cluster: actors that each load the model once and answer one piece after the other.

The driver, which is the process of the run, sends the model's description and the pieces, and writes what comes back.
Ray Data's actor pools were measured first: they end with every call, and do not tell which rows a lost worker had.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from outgrow._version import __version__
from outgrow.errors import ConfigError, MissingExtraError, ModelError, OutgrowError
from outgrow.models.foreign import first_line
from outgrow.registry import load_sources, plugin_sources
from outgrow.scale.executor import Apply, Executor, Piece, R

_GPU_WAIT = 600.0
"""Seconds that a cluster has to grow by a node with GPUs."""
_QUIET = 10.0
"""Seconds without any worker before a note says what is waited for."""
_TRIES = 3
"""A piece that loses so many workers ends the run; so do as many workers that are lost before their first piece."""


@dataclass(frozen=True)
class RayExecutor(Executor):
    """Models in actors of a Ray cluster (`executor: ray`, extra `ray`)."""

    address: str | None = None
    """`auto` (the cluster that RAY_ADDRESS names or that runs on this machine), `host:6379` or `ray://host:10001`; by
    default a cluster on this machine alone is started, which ends with the process."""
    workers: int = 1
    """Workers; each has a model of its own."""
    gpus_per_worker: float = 0
    """GPUs of each; several, with `device: spread`, hold a model that is too large for one; below 1 they share one."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.gpus_per_worker < 0:
            raise ValueError("workers are at least 1, and gpus_per_worker at least 0")
        if self.gpus_per_worker > 1 and self.gpus_per_worker % 1:
            raise ValueError("gpus_per_worker is a whole number, or below 1")
        if find_spec("ray") is None:
            raise MissingExtraError("`executor: ray`", "ray")

    @property
    def devices(self) -> int:  # type: ignore[override]  # on the processors of this machine all workers share one
        """See `Executor`."""
        return self.workers if self.address is not None or self.gpus_per_worker >= 1 else 1

    @contextmanager
    def open(
        self, load: Callable[[], Any], *, seen: Callable[[], Any], say: Callable[[str], object]
    ) -> Iterator[Apply]:
        """Yield what applies a function to pieces; see `Executor.open`."""
        workers = _Workers(self, load, seen, say)
        try:
            yield workers
        finally:
            workers.end()
        for note in dict.fromkeys(note for own in workers.notes.values() for note in own):
            say(note)

    def connect(self) -> None:
        """Connect this process to the cluster, unless it is connected to one.

        Raises:
            ConfigError: There is no cluster, or it runs other versions of Ray or Python.
        """
        how: dict[str, Any] = {"address": self.address}
        if self.address is None:
            # Its workers are the run itself, and are not bound to cores: only memory or GPUs limit how many there are.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            os.environ.setdefault("RAY_worker_niceness", "0")
            cores = max(self.workers, os.cpu_count() or 1)
            how = {"address": "local", "num_cpus": cores, "include_dashboard": False}
        import ray

        if ray.is_initialized():
            return
        try:
            ray.init(**how, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises many kinds, plain ones too
            raise ConfigError(
                f"There is no connection to a Ray cluster: scale.address is {self.address or 'not set'}.",
                found=first_line(error),
                wanted="`auto`, `host:6379`, or from outside of the cluster `ray://host:10001`",
                fix="Start one with `ray start --head`, or leave the address out for one on this machine.",
            ) from error
        # Ray prints to standard output that a worker was lost, which `_lost` reports.
        ray._private.worker.print_to_stdstream = lambda *args, **options: None


@dataclass
class _Task:
    index: int
    items: Sequence[Any]
    losses: int = 0
    halved: bool = False


@dataclass
class _Workers:
    """The workers of one `RayExecutor.open`, started when there are pieces."""

    executor: RayExecutor
    load: Callable[[], Any]
    seen: Callable[[], Any]
    say: Callable[[str], object]
    notes: dict[int, list[str]] = field(default_factory=dict)
    """What the model of each worker says."""
    _idle: list[Any] = field(default_factory=list)
    _busy: dict[Any, tuple[Any, _Task | None]] = field(default_factory=dict)
    """Workers and their tasks, by the result that is waited for; without a task a worker loads the model."""
    _waiting: deque[_Task] = field(default_factory=deque)
    _spawn: Callable[[], None] | None = None
    _lost_at_start: int = 0
    _quiet: bool = True
    """No worker has answered yet, and no note has said so."""

    def __call__(self, work: Callable[[Any, Sequence[Any]], R], pieces: Iterable[Piece]) -> Iterator[tuple[int, R]]:
        """Yield results as they come; see `Apply`."""
        new = (_Task(index, list(items)) for index, items in pieces)
        done: list[tuple[int, R]] = []
        try:
            self._begin(new)
            while True:
                while self._idle and (task := self._waiting.popleft() if self._waiting else next(new, None)):
                    worker = self._idle.pop()
                    self._busy[worker.run.remote(work, task.items, task.halved)] = worker, task
                yield from done  # the workers have their next pieces before a result is written
                if not self._waiting and not any(task for _, task in self._busy.values()):
                    return
                done = list(self._done())
        except ConnectionError as error:
            fix = "Run the same command again: finished shards are kept."
            raise OutgrowError(
                "The connection to the Ray cluster is lost.", found=first_line(error), fix=fix
            ) from error
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Stop all workers."""
        if self._spawn is not None:
            import ray

            for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
                with suppress(Exception):  # it is gone, or the cluster is
                    ray.kill(worker)
        self._idle, self._busy, self._waiting, self._spawn = [], {}, deque(), None

    def _begin(self, new: Iterator[_Task]) -> None:
        # As many workers as there are pieces for.
        self._waiting.extend(itertools.islice(new, self.executor.workers))
        if not self._waiting:
            return
        if self._spawn is None:
            self._spawn = self._spawner()
        for _ in range(len(self._waiting) - len(self._idle) - len(self._busy)):
            self._spawn()
        self._check_gpus()

    def _spawner(self) -> Callable[[], None]:
        self.executor.connect()
        import ray
        from ray import cloudpickle

        payload = cloudpickle.dumps((self.load, self.seen, self.seen()))
        actor = ray.remote(num_cpus=1, num_gpus=self.executor.gpus_per_worker)(_worker_class())
        arguments = __version__, plugin_sources(), payload

        def spawn() -> None:
            worker = actor.remote()
            self._busy[worker.start.remote(*arguments)] = worker, None

        return spawn

    def _check_gpus(self) -> None:
        import ray

        need, said = self.executor.gpus_per_worker, False
        deadline = time.monotonic() + (_GPU_WAIT if self.executor.address else 0)
        while need:
            most = max((node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
            if most >= need:
                return
            if time.monotonic() >= deadline:
                raise ConfigError(
                    "The Ray cluster has no place for a worker.",
                    found=f"nodes with at most {most:g} GPUs",
                    wanted=f"scale.gpus_per_worker: {need:g}",
                    fix="Set `gpus_per_worker: 0` to use CPUs, or name the address of a cluster with GPUs.",
                )
            if not said:
                self.say(f"no node of the Ray cluster has {need:g} GPUs: waiting until it has, for 10 minutes at most")
            said = True
            time.sleep(1)

    def _done(self) -> Iterator[tuple[int, Any]]:
        import ray

        ready, _ = ray.wait(list(self._busy), timeout=_QUIET if self._quiet else None)
        if not ready:
            free = ", ".join(f"{value:g} {name}" for name, value in ray.available_resources().items() if len(name) == 3)
            self.say(f"no worker has started yet; free in the Ray cluster: {free or 'nothing'}")
        self._quiet = False
        for result in ready:
            worker, task = self._busy.pop(result)
            try:
                found = ray.get(result)
            except ray.exceptions.RayTaskError as error:
                self._idle.append(worker)
                self._failed(task, error.cause)
            except ray.exceptions.RayError as error:
                self._lost(task, error)
            else:
                self._idle.append(worker)
                if task is not None:
                    value, self.notes[id(worker)] = found
                    yield task.index, value
                elif found is not None:
                    raise _other_version(*found)

    def _failed(self, task: _Task | None, cause: Exception) -> None:
        if not isinstance(cause, MemoryError) and not _says_memory(cause):
            raise cause
        if task is None or task.halved:
            raise ModelError(
                "The memory of a worker is too small.",
                found=first_line(cause),
                fix="Lower `batch_size`, set `dtype: bfloat16`, or let fewer workers share a node.",
            ) from cause
        self._again(task, "the memory of a worker is too small", halved=True)

    def _lost(self, task: _Task | None, error: Exception) -> None:
        if task is None:
            self._lost_at_start += 1
        else:
            task.losses += 1
        if _TRIES in (self._lost_at_start, task and task.losses):
            raise ModelError(
                f"{_TRIES} workers were lost {'on the same rows' if task else 'while they loaded the model'}.",
                found=first_line(error),
                fix="Look at their logs and memory, or lower `batch_size`. Finished shards are kept.",
            ) from error
        if task is not None:
            self._again(task, "a worker was lost", halved=task.losses > 1 or _says_memory(error))
        if self._spawn is not None:
            self._spawn()

    def _again(self, task: _Task, why: str, *, halved: bool) -> None:
        task.halved = halved
        self.say(f"{why}: its {len(task.items)} rows are done again{', with half the batch size' if halved else ''}")
        self._waiting.append(task)


def _worker_class() -> type:
    # Defined here to be pickled by value: so a worker that lacks outgrow can say so.
    class Worker:
        def start(self, version: str, plugins: Any, payload: bytes) -> tuple[str, str | None] | None:
            import importlib
            import os
            import socket

            for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):  # of a driver under torchrun
                os.environ.pop(name, None)
            try:
                own = importlib.import_module("outgrow._version").__version__
            except ImportError:
                own = None
            if own != version:
                return socket.gethostname(), own
            from outgrow.scale.ray import load_model

            self.model, self.halved = load_model(plugins, payload), False
            return None

        def run(self, work: Any, items: Any, halved: bool) -> tuple[Any, list[str]]:
            if halved and not self.halved and hasattr(self.model, "batch_size"):
                self.model.batch_size = max(1, self.model.batch_size // 2)
                self.halved = True
            return work(self.model, items), list(getattr(self.model, "notes", ()))

    return Worker


def load_model(plugins: Sequence[tuple[str, str | None]], payload: bytes) -> Any:
    """Load the model in a worker.

    Args:
        plugins: The driver's `plugin_sources`.
        payload: `load` and `seen` of `Executor.open`, and what `seen` returned in the driver.

    Raises:
        ModelError: The worker does not see the model, or sees another one.
    """
    from ray import cloudpickle

    try:
        load_sources(plugins)
        load, seen, wanted = cloudpickle.loads(payload)
        if (found := seen()) != wanted:
            raise ModelError(
                "The model is another one there.",
                found=found,
                wanted=f"{wanted}, as in the process of the run",
                fix="Put the same folder at the same path on all nodes; set `dtype` where only some of them have GPUs.",
            )
        return load()
    except (OutgrowError, OSError) as error:
        own = error if isinstance(error, OutgrowError) else OutgrowError(f"{error}.")
        fix = "Workers read model folders by path: put them on a file system that all nodes see, or name a hub id."
        raise ModelError(
            f"A worker on {socket.gethostname()} cannot load the model. {own.what}",
            found=own.found,
            wanted=own.wanted,
            fix=own.fix or fix,
        ) from error


def _other_version(node: str, found: str | None) -> ModelError:
    return ModelError(
        f"The worker on {node} has {'another version of' if found else 'no'} outgrow.",
        found=found,
        wanted=__version__,
        fix=f"Install it on all nodes, such as in their image: pip install 'outgrow[ray]=={__version__}'",
    )


def _says_memory(error: Exception) -> bool:
    # Ray's memory monitor, torch on GPUs and on CPUs.
    return any(words in str(error).lower() for words in ("low on memory", "out of memory", "can't allocate memory"))
