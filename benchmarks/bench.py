"""One table of ratios: ours against bare loops, plain autograd, transformers' generate and crowd-kit.

    make bench                                    # all parts
    python benchmarks/bench.py objectives bridge  # some
    make bench-smoke                              # small sizes and one round: that everything runs and agrees

crowd-kit is measured where CROWDKIT_PYTHON names a Python that has it.
"""

from __future__ import annotations

import argparse
from importlib import import_module

from harness import extra_memory, machine, ratio

PARTS = ("startup", "objectives", "token_objectives", "steps", "generation", "refine", "bridge", "votes")
ROUNDS = 5


def main(parts: list[str], smoke: bool) -> None:
    """Print the table, a line as soon as it is measured."""
    import torch

    torch.set_num_threads(1)
    print(machine() + ("; smoke: small sizes, no figures worth keeping" if smoke else ""))
    print("\n| part | what | against | processor time | least to largest | memory |\n|---|---|---|---|---|---|")
    for part in parts:
        for case in import_module(part).cases(smoke):
            if case.check is not None:
                case.check()
            case.run()  # warms up
            middle, least, largest = ratio(case, 1 if smoke else ROUNDS)
            memory = f"{extra_memory(case.run) / extra_memory(case.other):.2f}" if case.memory and not smoke else ""
            print(
                f"| {part} | {case.what} | {case.against} | {middle:.2f} | {least:.2f} to {largest:.2f} | {memory} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[*PARTS], help=", ".join(PARTS))
    parser.add_argument("--smoke", action="store_true")
    main(**vars(parser.parse_args()))
