"""Several processes of one run, as torchrun starts them, but forked: nothing heavy is imported again."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from torch.distributed import TCPStore

LONGEST = 180.0
"""Seconds after which processes that wait for each other are killed."""


def in_processes(work: Callable[[int], object], count: int = 2, longest: float = LONGEST) -> list[int]:
    """Calls `work(rank)` in forked processes; returns the exit codes, 1 after an exception, −9 of one that hung."""
    board = TCPStore("localhost", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=30))
    launcher = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(board.port), "WORLD_SIZE": str(count)}
    launcher |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    children = [_forked(work, launcher | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(count)]
    codes: dict[int, int] = {}
    deadline = time.monotonic() + longest
    while len(codes) < count:
        for child in set(children) - set(codes):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                codes[child] = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return [codes[child] for child in children]


@contextmanager
def fsdp_on_cpus() -> Iterator[None]:
    """Lets accelerate shard on CPUs, which torch can (gloo): it turns FSDP on for GPUs only."""
    init = AcceleratorState.__init__

    def as_on_gpus(self: AcceleratorState, *given: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        shared = PartialState._shared_state
        if fsdp_plugin is not None and shared.get("distributed_type") == DistributedType.MULTI_CPU:
            shared["distributed_type"] = DistributedType.MULTI_GPU
        init(self, *given, fsdp_plugin=fsdp_plugin, **options)

    AcceleratorState.__init__ = as_on_gpus
    try:
        yield
    finally:
        AcceleratorState.__init__ = init


def _forked(work: Callable[[int], object], environment: dict[str, str]) -> int:
    child = os.fork()
    if child:
        return child
    os.environ.update(environment)
    try:
        work(int(environment["RANK"]))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
