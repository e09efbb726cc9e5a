"""The processes of a run under torchrun or accelerate launch: which one this is, and what they tell each other.

All processes run the same program on the same store, a folder that all of them see. The first one (rank 0) decides what
has to be made, and writes; the others wait for it, train with it, and label their part of the rows. They exchange a few
words through the key-value store of the launcher, so waiting has no time limit and needs no process group. A process
that fails just ends: the launcher then ends the others. torch is imported only where there are several processes.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from outgrow.errors import OutgrowError

T = TypeVar("T")

STOPPED = 128 + signal.SIGTERM
"""Exit code of a process that the launcher has ended."""

_alone: list[None] = []
_turns = itertools.count()


def launched() -> int:
    """Return the number of processes that were launched: WORLD_SIZE, where the launcher also sets RANK."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1


def world() -> int:
    """Return the number of processes that share the work; 1 inside of `alone`.

    Example:
        >>> world()
        1
    """
    return 1 if _alone else launched()


def rank() -> int:
    """Return the number of this process, from 0; 0 inside of `alone`."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def first() -> bool:
    """Return whether this process writes files and prints."""
    return rank() == 0


@contextmanager
def alone() -> Iterator[None]:
    """Work as if this were the only process, while the context lasts."""
    _alone.append(None)
    try:
        yield
    finally:
        _alone.pop()


def share(value: T, what: str) -> T:
    """Return the value of the first process, which does not wait; the others wait for it.

    Args:
        value: A JSON value; only that of the first process counts.
        what: What it is about, the same in all processes.

    Raises:
        OutgrowError: The processes are at different places of the program.
    """
    if world() == 1:
        return value
    return _exchange(what, value, [0])  # type: ignore[no-any-return]


def meet(what: str) -> None:
    """Wait until all processes are here; `what` and errors are those of `share`."""
    if world() > 1:
        _exchange(what, None, range(world()))


def _exchange(what: str, value: Any, sources: Sequence[int]) -> Any:
    """Return the value of the first of the sources; wait for all of them."""
    turn = next(_turns)
    if rank() in sources:
        _board().set(f"{turn}/{rank()}", json.dumps([what, value]))
    keys, pause = [f"{turn}/{source}" for source in sources], 0.001
    while not _board().check(keys):
        time.sleep(pause)
        pause = min(2 * pause, 0.25)
    found = [json.loads(_board().get(key)) for key in keys]
    if {name for name, _ in found} != {what}:
        raise OutgrowError(
            "The processes of this run have taken different ways through the experiment.",
            found="; ".join(sorted({what, *(name for name, _ in found)})),
            wanted="the same steps with the same data in all of them",
            fix="Give all the same files, settings and plug-ins; a plug-in must draw random numbers from its seed.",
        )
    return found[0][1]


@functools.cache
def _board() -> Any:
    # What the launcher, or the first process, keeps for all: also used by torch to start process groups.
    import torch

    if torch.cuda.is_available():
        own, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if own >= gpus:
            raise OutgrowError(
                "More processes were started on this machine than it has GPUs.",
                found=f"process {own + 1} and {gpus} GPU(s)",
                wanted="one GPU for each process",
                fix=f"torchrun --nproc-per-node {gpus}, or num_processes in accelerate's configuration.",
            )
        torch.cuda.set_device(own)  # what `cuda` means in this process
    distributed: Any = torch.distributed
    store, *_ = next(distributed.rendezvous("env://"))
    return distributed.PrefixStore("outgrow", store)


def follow_launcher(farewell: Callable[[], None]) -> None:
    """Silence the standard output of all processes but the first, and end promptly when the launcher says so.

    Args:
        farewell: Called in the first process when the launcher ends it (SIGTERM), such as after another has failed.
    """
    if launched() == 1:
        return
    speaks = first()
    if not speaks:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    # A handler alone would wait for the end of a call into C, such as one that waits for a dead process.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def end() -> NoReturn:
        while os.read(reading, 1) != bytes([signal.SIGTERM]):
            pass
        if speaks:
            farewell()
        os._exit(STOPPED)

    threading.Thread(target=end, daemon=True).start()


def give_way() -> None:
    """Wait a moment before a failure of this process is shown.

    Where it follows from the failure of another process, or is the same, the launcher ends this one meanwhile: only
    the cause is shown.
    """
    if launched() > 1:
        time.sleep(2 if first() else 15)


def leave() -> None:
    """Close torch's process group, if a training opened one, after everything went well."""
    if launched() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
