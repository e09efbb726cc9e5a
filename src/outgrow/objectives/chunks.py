"""Loss and gradient of rows of logits together, over cache-sized chunks of rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Chunk = Callable[[slice, Tensor, Tensor | None], Tensor]
"""Losses (n,) of the rows of a slice, given their logits (n, K); writes the gradient to the last argument, if any."""


def in_chunks(logits: Tensor, chunk: Chunk, *, rows: int, work: torch.dtype) -> Tensor:
    """Return losses (N,) of logits (N, K), with the gradient that `chunk` computes beside them.

    Autograd would keep several tensors as large as the logits; this keeps one, the gradient. A chunk has `rows` rows,
    whose logits are computed on in the type `work`.
    """
    differentiate = torch.is_grad_enabled() and logits.requires_grad
    losses: Tensor = _InChunks.apply(logits, chunk, rows, work, differentiate)  # type: ignore[no-untyped-call]
    return losses


def rows_per_chunk(logits: Tensor) -> int:
    """Return the rows of half a megabyte on a CPU (its cache); on an accelerator enough to keep it busy."""
    most = 2**17 if logits.device.type == "cpu" else max(2**18, min(2**22, logits.numel() // 32))
    return max(1, most // logits.shape[1])


class _InChunks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, chunk: Chunk, rows: int, work: torch.dtype, differentiate: bool) -> Tensor:
        losses, gradient = _all_chunks(logits, chunk, rows, work, differentiate)
        if differentiate:
            ctx.save_for_backward(logits)
            ctx.how, ctx.gradient = (chunk, rows, work), gradient
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None, None, None]:
        # The buffer is scaled in place and released; a second pass over a retained graph computes it again.
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            (logits,), (chunk, rows, work) = ctx.saved_tensors, ctx.how
            gradient = _all_chunks(logits, chunk, rows, work, True)[1]
        return gradient.mul_(outer[:, None].to(gradient.dtype)), None, None, None, None


def _all_chunks(
    logits: Tensor, chunk: Chunk, rows: int, work: torch.dtype, differentiate: bool
) -> tuple[Tensor, Tensor | None]:
    losses = logits.new_empty(len(logits), dtype=torch.promote_types(logits.dtype, torch.float32))
    gradient = torch.empty_like(logits, memory_format=torch.contiguous_format) if differentiate else None

    def do(start: int) -> None:
        part = slice(start, start + rows)
        out = None if gradient is None else gradient[part]
        with torch.no_grad():  # per thread
            losses[part] = chunk(part, logits[part].to(work), out)

    _for_each(do, range(0, len(logits), rows), logits)
    return losses, gradient


def _for_each(do: Callable[[int], None], starts: range, logits: Tensor) -> None:
    # On a CPU as many chunks at a time as torch has threads, each in one thread. Threads that share every small
    # operation wait for each other after each of them: on two busy cores that takes six times as long.
    threads = torch.get_num_threads()
    if logits.device.type != "cpu" or threads == 1 or len(starts) < 2 * threads:
        for start in starts:
            do(start)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(do, starts))
    finally:
        # The setting is per thread, but new threads start with the last one made.
        torch.set_num_threads(threads)
