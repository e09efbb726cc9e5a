"""Rows with answers of several models, for tests of the example browser."""

from __future__ import annotations

import base64
import gzip
import json
import re

import numpy as np

from outgrow.labels import Predictions, Rows
from outgrow.pipeline.evaluating import prediction_table
from outgrow.report.examples import Examples


def votes(rows, picks, sure=1.0):
    """Predictions that name a choice for each row, -1 for none."""
    k = len(rows.choices)
    probs = np.array(
        [[np.nan] * k if pick < 0 else np.where(np.arange(k) == pick, sure, (1 - sure) / (k - 1)) for pick in picks]
    )
    answers = tuple("" if pick < 0 else rows.choices_of(row)[pick] for row, pick in enumerate(picks))
    return Predictions(rows.ids, answers, {"accuracy": np.ones(len(rows))}, probs)


def choice_examples(count=40, prompt="text {}"):
    """Of every four rows the supervisor ann is right on two, the student on two, both on one."""
    ids = tuple(f"r{row}" for row in range(count))
    prompts = tuple(prompt.replace("{}", str(row)) for row in range(count))
    rows = Rows(ids, prompts, ("test",) * count, (1,) * count, ("no", "yes"))
    found = {
        ("supervisor", "ann"): [votes(rows, [int(row % 4 < 2) for row in range(count)])],
        ("supervisor", "ben"): [votes(rows, [-1] * count)],
        ("combined", "majority"): [votes(rows, [int(row % 8 > 0) for row in range(count)], 0.75)],
        ("student", "naive"): [
            votes(rows, [int(row % 2 == 0) for row in range(count)], 0.6 + row / 100) for row in (0, 10)
        ],
    }
    return Examples(rows, prediction_table(found, (0, 1)))


def text_examples(prompt="ask", answer="say"):
    rows = Rows(("a", "b"), (prompt, "?"), ("test",) * 2, (answer, None))
    said = {
        ("supervisor", "ann"): [Predictions(rows.ids, (answer, ""), {"exact_match": np.array([1.0, 0.0])})],
        ("student", "naive"): [Predictions(rows.ids, ("x", "y"), {"exact_match": np.array([0.0, 1.0])})] * 2,
    }
    return Examples(rows, prediction_table(said, (0, 1)))


def unpacked(packed):
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def data_of(page):
    return unpacked(re.search(r'id="example-data">([^<]*)<', page)[1])
