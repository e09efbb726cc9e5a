"""On a GPU: losses at the size of a vocabulary, a training step, labels and refinement, against its own ceilings.

    python benchmarks/gpu.py            # needs a CUDA device
    python benchmarks/gpu.py --smoke    # small sizes on whatever is here: that everything runs and is right

The ceilings are measured first: bytes a second of a copy, and FLOP/s of a product of matrices. A loss has to move its
logits once and their gradient once; a step has to multiply. What is achieved is a share of that.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from generation import model_of
from harness import machine
from outgrow.models.arithmetic import ModelShape
from outgrow.models.protocols import GenerateOptions
from outgrow.objectives import StepContext, TokenBayesian, TokenCrossEntropy, TokenEvidential, evidential

ROUNDS = 20
Loss = Callable[[Tensor], Tensor]


def seconds(run: Callable[[], object], device: str, rounds: int) -> float:
    """Return the mean seconds of a run, after one that warms up, with the device's queue empty at both ends."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    run()
    wait()
    start = time.perf_counter()
    for _ in range(rounds):
        run()
    wait()
    return (time.perf_counter() - start) / rounds


def ceilings(device: str, smoke: bool) -> tuple[float, float]:
    """Return bytes a second of a copy (read and written), and FLOP/s of a product of bf16 matrices."""
    count, side, rounds = (2**16, 128, 2) if smoke else (2**30, 8192, ROUNDS)
    source = torch.empty(count, dtype=torch.bfloat16, device=device)
    target = torch.empty_like(source)
    one, other = (torch.randn(side, side, dtype=torch.bfloat16, device=device) for _ in range(2))
    copied = 2 * source.nbytes / seconds(lambda: target.copy_(source), device, rounds)
    return copied, 2 * side**3 / seconds(lambda: one @ other, device, rounds)


def losses(device: str, bandwidth: float, smoke: bool) -> None:
    """Print time, share of the bandwidth and peak memory of each loss, forward and backward, eager and compiled."""
    rows, tokens = (16, 500) if smoke else (8192, 128_000)
    torch.manual_seed(0)
    logits = 3 * torch.randn(rows, tokens, dtype=torch.bfloat16, device=device)
    labels = torch.randint(tokens, (rows,), device=device)
    log_s, context = torch.full((rows,), -0.5, device=device), StepContext(1.0)
    found: dict[str, Loss] = {
        "torch cross_entropy": lambda z: torch.nn.functional.cross_entropy(z.float(), labels),
        "evidential": lambda z: evidential(z, labels),
        "evidential, data term": lambda z: evidential(z, labels, regularization=0),
        "tokens, cross_entropy": lambda z: TokenCrossEntropy()(z, labels, log_s, context).mean(),
        "tokens, evidential": lambda z: TokenEvidential()(z, labels, log_s, context).mean(),
        "tokens, bayesian": lambda z: TokenBayesian()(z, labels, log_s, context).mean(),
    }
    least = 2 * logits.nbytes / bandwidth  # logits are read, their gradient is written
    for name, loss in found.items():
        off = error(loss, logits[: min(rows, 64)], labels, log_s)
        # torch.compile needs a compiler of the machine; the smoke form only looks at what is right.
        for how, form in {"eager": loss, **({} if smoke else {"compiled": torch.compile(loss)})}.items():
            leaf = logits.clone().requires_grad_()

            def step(form: Loss = form, leaf: Tensor = leaf) -> None:
                leaf.grad = None
                form(leaf).backward()

            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            took = seconds(step, device, 2 if smoke else ROUNDS)
            peak = torch.cuda.max_memory_allocated() / logits.nbytes if device == "cuda" else float("nan")
            print(
                f"| {name}, {how} | {1e3 * took:.2f} ms | {least / took:.0%} of bandwidth | {off:.0e} | {peak:.1f}× |"
            )


def error(loss: Loss, logits: Tensor, labels: Tensor, log_s: Tensor) -> float:
    """Return the largest difference of the gradient in bf16 from that in float64, over the largest gradient."""
    rows = len(logits)
    grads = []
    for kind in (torch.float64, logits.dtype):
        leaf = logits.to(kind).requires_grad_()
        padded = torch.cat([leaf, leaf.detach().new_zeros(len(labels) - rows, leaf.shape[1])])
        loss(padded).backward()
        grads.append(leaf.grad.double())  # type: ignore[union-attr]
    found = float((grads[1] - grads[0]).abs().max() / grads[0].abs().max())
    assert found < 0.02, f"the gradient in {logits.dtype} is off by {found:.1%} of the largest"
    return found


def models(device: str, peak: float, smoke: bool) -> None:
    """Print FLOP/s of a training step, of n-best labels, and of refinement behind a shared prefix."""
    width, layers, tokens, size = (64, 2, 200, 4) if smoke else (2048, 16, 32_000, 64)
    rounds, length = (1, 16) if smoke else (5, 512)
    model = model_of(width, tokens, layers=layers)
    network: Any = model.model.to(device=device, dtype=torch.float32 if smoke else torch.bfloat16)
    shape = ModelShape.of(network.config)
    ids = torch.randint(1, tokens, (size // 4, length), device=device)

    def train() -> None:
        network(input_ids=ids, labels=ids).loss.backward()
        network.zero_grad()

    def shares(name: str, run: Callable[[], object], flops: float, prompts: int) -> None:
        took = seconds(run, device, rounds)
        print(f"| {name} | {1e3 * took:.1f} ms | {flops / took / peak:.0%} of FLOP/s | {prompts / took:.1f} rows/s | |")

    network.train()
    flops = shape.flops(ids.numel(), context=length / 2, trains="all")
    shares("training step, without optimizer", train, flops, len(ids))
    network.eval()
    numbers = torch.Generator().manual_seed(0)

    def words(count: int) -> str:
        return " ".join(map(str, torch.randint(1, tokens, (count,), generator=numbers).tolist()))

    said, best = (4, 2) if smoke else (64, 4)
    prompts, shown = [words(8) for _ in range(size)], words(16 if smoke else 256)
    behind = [f"{shown} {prompt}" for prompt in prompts]
    model.batch_size = size
    for name, asked, options in (
        ("4 samples a prompt" if not smoke else "2 samples a prompt", prompts, GenerateOptions(said, 1.0, n=best)),
        ("answers behind shared demonstrations", behind, GenerateOptions(said)),
    ):

        def write(asked: list[str] = asked, options: GenerateOptions = options) -> object:
            return model.generate(asked, options)

        shares(name, write, shape.flops(size * (8 + options.n * said)), size)


def main(smoke: bool) -> None:
    """Print the ceilings and the table."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not smoke:
        sys.exit("There is no CUDA device here: `python benchmarks/gpu.py --smoke` runs small sizes on the CPU.")
    bandwidth, flops = ceilings(device, smoke)
    print(machine() + ("; smoke: no figures worth keeping" if smoke else ""))
    print(f"copy {bandwidth / 1e9:.0f} GB/s, product of matrices {flops / 1e12:.3g} TFLOP/s\n")
    print("| | time | of the ceiling | error, or speed | peak memory |\n|---|---|---|---|---|")
    losses(device, bandwidth, smoke)
    models(device, flops, smoke)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    main(**vars(parser.parse_args()))
