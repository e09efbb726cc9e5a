"""What the evidential objectives cost next to torch's cross entropy: forward + backward, and memory.

    python benchmarks/objectives.py

512 rows of 32,000 tokens in float32 on 2 threads. Every round runs all objectives, one after the other; the table gives
the median over the rounds of each one's time divided by cross entropy's in the same round. Other work on the machine
moves the milliseconds, and the ratios less. Extra memory is the peak beyond the logits and their gradient.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from outgrow.objectives import dirichlet_multinomial, evidential

ROUNDS = 9


def losses(rows: int, tokens: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """The objectives to compare, each from logits to a scalar; the first is what the others are measured by."""
    labels = torch.randint(tokens, (rows,))
    soft = torch.softmax(3 * torch.randn(rows, tokens), dim=1)
    return {
        "torch cross_entropy": lambda z: torch.nn.functional.cross_entropy(z, labels),
        "evidential, data term": lambda z: evidential(z, labels, regularization=0),
        "evidential": lambda z: evidential(z, labels),
        "evidential, paper": lambda z: evidential(z, labels, preset="paper"),
        "evidential, softplus": lambda z: evidential(z, labels, evidence="softplus"),
        "torch cross_entropy, soft": lambda z: torch.nn.functional.cross_entropy(z, soft),
        "evidential, data term, soft": lambda z: evidential(z, soft, regularization=0),
        "evidential, soft": lambda z: evidential(z, soft),
        "evidential, paper, soft": lambda z: evidential(z, soft, preset="paper"),
        "dirichlet_multinomial": lambda z: dirichlet_multinomial(
            z, torch.zeros_like(z).scatter_(1, labels[:, None], 3.0)
        ),
    }


def seconds(loss: Callable[[Tensor], Tensor], logits: Tensor) -> float:
    """Wall time of one forward and backward pass."""
    leaf = logits.detach().requires_grad_()
    start = time.perf_counter()
    loss(leaf).backward()
    return time.perf_counter() - start


def extra_memory(loss: Callable[[Tensor], Tensor], logits: Tensor) -> float:
    """Peak resident memory of one pass beyond logits and gradient, as a share of the logits; Linux only."""
    leaf = logits.detach().requires_grad_()
    ctypes.CDLL(None).malloc_trim(0)  # what earlier passes freed must not hide what this one takes
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    loss(leaf).backward()
    size = logits.numel() * logits.element_size()
    return (_resident("VmHWM") - before - size) / size


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main(rows: int, tokens: int, threads: int) -> None:
    """Prints the table."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    logits = 3 * torch.randn(rows, tokens)
    candidates = losses(rows, tokens)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, loss in candidates.items():
            times[name].append(seconds(loss, logits))
    reference = times[next(iter(candidates))]
    print(f"{'':<28} {'fastest':>9} {'ratio':>7} {'extra memory':>13}")
    for name, loss in candidates.items():
        ratio = statistics.median(own / other for own, other in zip(times[name], reference, strict=True))
        share = extra_memory(loss, logits)
        print(f"{name:<28} {1e3 * min(times[name]):6.0f} ms {ratio:7.2f} {share:12.2f}×")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=32_000)
    parser.add_argument("--threads", type=int, default=2)
    main(**vars(parser.parse_args()))
