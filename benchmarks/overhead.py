"""What the pipeline adds to the time its models take, on examples/sentiment.yaml with an empty store.

    MINILM=… python benchmarks/overhead.py

Model time is the sum of all stages that make an artefact, as the store records it; it includes importing what a stage
needs. The rest is reading data, hashing, combining, the bootstrap, writing, the report, and importing everything else.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "sentiment.yaml"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        import torch  # noqa: F401  # timed apart: whoever uses torch pays it

        torch_done = time.perf_counter()
        from outgrow import Experiment

        settings = [f"store={folder}/store", f"output={folder}/output", *sys.argv[1:]]
        first = Experiment.from_yaml(EXAMPLE, settings).run().provenance["seconds"]
        total = time.perf_counter() - start
        model = sum(seconds for stage, seconds in first.items() if stage != "total")
        again = Experiment.from_yaml(EXAMPLE, settings).run().provenance["seconds"]["total"]
    print(f"whole run, from the first import on   {total:7.2f} s")
    print(f"of it importing torch                 {torch_done - start:7.2f} s")
    print(f"of it the experiment                  {first['total']:7.2f} s")
    print(f"of it model time                      {model:7.2f} s")
    print(f"overhead of the experiment            {first['total'] / model - 1:7.1%} of model time")
    print(f"overhead with all imports             {total / model - 1:7.1%} of model time")
    print(f"a rerun in the same process           {again:7.2f} s")
