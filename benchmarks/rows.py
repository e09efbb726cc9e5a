"""Time and peak memory of an experiment by the number of its rows: read, labelled, combined, learned and exported.

python benchmarks/rows.py                            # 100,000 and a million rows
python benchmarks/rows.py 100000 1000000 10000000    # 8 GB of disk, in TMPDIR
python benchmarks/rows.py --smoke

Two word-count supervisors learn from 2,000 gold rows, their votes on all other rows are combined, a probe learns these
labels on the features of a tiny encoder, and the labels are exported. Each command is a process of its own. Start-up,
reports and samples cost the same for any number of rows: the last lines say what each further row costs.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WORDS, LENGTH, FEATURES, PIECE = 400, 8, 16, 2**16
FILE = str(Path(__file__).resolve())
EXPERIMENT = """
name: rows
task:
  path: rows.parquet
  columns: {id: id, prompt: text, gold: label}
  choices: [dull, bright]
  split: {gold: 2000, validation: 1000, test: 5000, unlabelled: 1.0}
supervisors:
  - {name: few, features: tfidf, rows: 500}
  - {name: many, features: {name: tfidf, ngrams: 1}}
strong:
  model: encoder
  adapter: {name: probe, epochs: 1, batch_size: 1024}
methods: {naive: {}}
ceiling: false
seeds: 1
output: results
"""


def make_table(rows: int) -> None:
    """Write rows whose label follows from their words; one in ten of the labels, and at least 8,000, are known."""
    rng = np.random.default_rng(0)
    words = pa.array([f"w{word:03}" for word in range(WORDS)])
    worth = rng.normal(size=WORDS)
    known = max(0.1, min(1.0, 9_000 / rows))
    schema = pa.schema({"id": pa.string(), "text": pa.string(), "label": pa.int64()})
    with pq.ParquetWriter("rows.parquet", schema, compression="zstd") as writer:
        for start in range(0, rows, PIECE):
            size = min(PIECE, rows - start)
            drawn = rng.integers(WORDS, size=(size, LENGTH))
            ids = pa.array([f"row-{row:08}" for row in range(start, start + size)])
            lists = pa.FixedSizeListArray.from_arrays(words.take(pa.array(drawn.reshape(-1))), LENGTH)
            texts = pa.compute.binary_join(lists.cast(pa.list_(pa.string())), " ")
            gold = (worth[drawn].sum(axis=1) + rng.normal(size=size) > 0).astype(np.int64)
            labels = pa.array(gold, mask=rng.random(size) > known)
            writer.write_table(pa.table([ids, texts, labels], schema=schema))


def make_encoder() -> None:
    """Write an encoder of one layer, with random weights."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *(f"w{n:03}" for n in range(WORDS))])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained("encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained("encoder")


def fixed_features() -> None:
    """Let the encoder be a table of words, so that its own time is not measured."""
    from outgrow.train import features as module

    table = np.random.default_rng(1).normal(size=(WORDS, FEATURES)).astype(np.float32)

    def features(texts: Sequence[str]) -> Any:
        import torch

        digits = np.frombuffer(f"{' '.join(texts)} ".encode(), dtype=np.uint8).reshape(len(texts), LENGTH, 5)[..., 1:4]
        return torch.from_numpy(table[(digits - ord("0")) @ np.array([100, 10, 1])].mean(axis=1))

    module._states = lambda *_: features  # type: ignore[assignment, misc]


def command(arguments: Sequence[str]) -> None:
    """Run a command of outgrow; print its CPU seconds and its peak memory in MiB."""
    from outgrow.cli import app

    fixed_features()
    app([*arguments], standalone_mode=False)
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Of this process: ru_maxrss begins with the memory of the one that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(used.ru_utime + used.ru_stime, int(status["VmHWM"].split()[0]) / 2**10)


def outgrow(*arguments: str) -> tuple[float, float, float]:
    """Run a command in a process of its own; return seconds, CPU seconds, and peak memory in MiB."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, FILE, "command", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    cpu, peak = map(float, done.stdout.splitlines()[-1].split())
    return time.perf_counter() - start, cpu, peak


def measure(rows: int) -> tuple[float, float]:
    """Print a line of times and peak memory, and one of the stages; return CPU seconds, and the higher peak in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["OUTGROW_STORE"] = f"{folder}/store"
        make_table(rows)
        make_encoder()
        Path("experiment.yaml").write_text(EXPERIMENT)
        ran, cpu, peak = outgrow("run", "experiment.yaml", "--quiet")
        labels = ("export", "experiment.yaml", "--method", "naive", "--form", "labels", "-o", "labels.jsonl", "--quiet")
        exported, export_cpu, export_peak = outgrow(*labels)
        seconds = json.loads(Path("results/results.json").read_text())["provenance"]["seconds"]
        os.chdir("/")
    print(
        f"{rows:,} rows: run {ran:.0f} s ({cpu:.1f} s of CPU time), {rows / ran:,.0f} rows/s, {peak:,.0f} MiB; "
        f"export {exported:.0f} s ({export_cpu:.1f} s of CPU time), {export_peak:,.0f} MiB"
    )
    print("   ", ", ".join(f"{stage} {own:.1f} s" for stage, own in seconds.items()), flush=True)
    return cpu + export_cpu, max(peak, export_peak)


if __name__ == "__main__":
    if sys.argv[1:2] == ["command"]:
        command(sys.argv[2:])
    else:
        sizes = [20_000] if "--smoke" in sys.argv else [*map(int, sys.argv[1:] or (100_000, 1_000_000))]
        measured = [*map(measure, sizes)]
        for few, many, (before, low), (cpu, high) in zip(sizes, sizes[1:], measured, measured[1:], strict=False):
            each, memory = 1e6 * (cpu - before) / (many - few), 2**20 * (high - low) / (many - few)
            print(f"from {few:,} to {many:,} rows: {each:.1f} µs of CPU time and {memory:.0f} bytes for each row")
