"""A part of `bench.py`: the evidential objectives next to torch's cross entropy, forward and backward.

512 rows of 32,000 tokens in float32; logits and their gradient are in the memory of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from harness import Case
from outgrow.objectives import dirichlet_multinomial, evidential


def cases(smoke: bool) -> Iterator[Case]:
    """Each objective against cross entropy on the same targets, and against its formula in plain autograd."""
    rows, tokens = (8, 200) if smoke else (512, 32_000)
    torch.manual_seed(0)
    logits, labels = 3 * torch.randn(rows, tokens), torch.randint(tokens, (rows,))
    soft = torch.softmax(3 * torch.randn(rows, tokens), dim=1)
    counts = torch.zeros(rows, tokens).scatter_(1, labels[:, None], 3.0)
    entropy = torch.nn.functional.cross_entropy

    def step(loss: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        leaf = logits.clone().requires_grad_()

        def run() -> None:
            leaf.grad = None
            loss(leaf).backward()

        return run

    def plain(z: Tensor) -> Tensor:
        """The evidential loss of labels as torch differentiates it, from exp(logits)."""
        alpha = 1 + z.exp()
        return (alpha.sum(1).log() - alpha.gather(1, labels[:, None])[:, 0].log()).mean()

    hard: dict[str, Callable[[Tensor], Tensor]] = {
        "evidential, data term": lambda z: evidential(z, labels, regularization=0),
        "evidential": lambda z: evidential(z, labels),
        "evidential, paper": lambda z: evidential(z, labels, preset="paper"),
        "evidential, softplus": lambda z: evidential(z, labels, evidence="softplus"),
        "dirichlet_multinomial": lambda z: dirichlet_multinomial(z, counts),
    }
    for name, loss in hard.items():
        yield Case(name, step(loss), "cross entropy", step(lambda z: entropy(z, labels)), memory=True)
    smooth: dict[str, Callable[[Tensor], Tensor]] = {
        "evidential, data term, soft": lambda z: evidential(z, soft, regularization=0),
        "evidential, soft": lambda z: evidential(z, soft),
        "evidential, paper, soft": lambda z: evidential(z, soft, preset="paper"),
    }
    for name, loss in smooth.items():
        yield Case(name, step(loss), "cross entropy, soft", step(lambda z: entropy(z, soft)), memory=True)
    ours = hard["evidential, data term"]

    def check() -> None:
        torch.testing.assert_close(ours(logits), plain(logits))

    yield Case("evidential, data term", step(ours), "its formula in autograd", step(plain), memory=True, check=check)
