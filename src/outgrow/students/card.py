"""The model card of a saved student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml

from outgrow.evaluate.summary import MetricSummary, Summary
from outgrow.registry import can
from outgrow.report.table import metric_title, number_columns
from outgrow.report.words import ordered_lines
from outgrow.students.student import Student
from outgrow.train.targets import make_objective

_LOAD_CHOICES = Template("""\
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = "."  # where this file lies
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
head = load_file(f"{folder}/head.safetensors")
$labels
    batch = tokenizer(texts, padding=True, padding_side="right", ${cut}return_tensors="pt")
    with torch.no_grad():
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"]
    pooled = $pooled
    logits = torch.nn.functional.linear(pooled.float(), head["weight"], head["bias"])$each
    return $probabilities
""")
_POOLED = {
    "mean": "(states * mask[..., None].to(states.dtype)).sum(1) / mask.sum(1, keepdim=True)",
    "last": "states[torch.arange(len(texts)), mask.sum(1) - 1]",
}
_EVIDENCE = {
    "exp": "logits.exp()",
    "softplus": "torch.nn.functional.softplus(logits)",
    "relu": "logits.relu()",
}
_LOAD_TEXTS = Template("""\
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

folder = "."  # where this file lies
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
settings = GenerationConfig.from_pretrained(folder)

def answer(prompt):
    text = $asked.replace("{prompt}", prompt)
    inputs = tokenizer(text, ${special}return_token_type_ids=False, return_tensors="pt")
    output = model.generate(**inputs, generation_config=settings)
    said = tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
    return $said.removeprefix(" ")
""")


def card(student: Student, run: Mapping[str, Any], summary: Summary, *, base: str) -> str:
    """Return the model card of a student as Markdown, with code that needs torch and transformers alone.

    Args:
        student: The student.
        run: Provenance of the run's results.
        summary: Their summary.
        base: Folder or hub id of the base model; a folder's path is not part of the card.
    """
    about: dict[str, Any] = {"library_name": "transformers", "tags": ["outgrow", "weak-to-strong"]}
    if student.choices is None:
        about["pipeline_tag"] = "text-generation"
    if not Path(base).is_dir():
        about["base_model"] = base
    config, learned = run["config"], run["config"]["methods"].get(student.method)
    lineage = {"base model": student.base, "adapter": config["strong"]["adapter"], **_lineage(run, student.method)}
    lineage |= {"trainer": config["trainer"], "seed": student.seed}
    return f"""\
---
{_yaml(about)}---

# {student.experiment}: {student.method}, seed {student.seed}

{student.base}, trained {"from weak supervision" if learned else "on gold answers"} with outgrow {student.outgrow}. \
{_form(student)}

## Use

```
outgrow predict FOLDER new.csv -o predictions.csv
```

or with transformers alone{", and peft for the adapter" if student.separate else ""}:

```python
{_code(student)}```

## Scores

Means over test examples and training seeds, with 95 % intervals.

{"".join(_table(metric, student.method) for metric in summary.metrics)}
## Lineage

```yaml
{_yaml(_plain(lineage))}```

## Licences

The base model's licence holds for these weights too. The data, and the terms under which the supervisors' labels were
made (people, models, providers), may limit their use further. None of this was checked: before you publish the student,
read them and set `license:` at the top of this file.
"""


def labels_card(run: Mapping[str, Any], method: str, seed: int, file: str, what: str) -> str:
    """Return a data set card, as Markdown, for the labels that `outgrow export` writes.

    Args:
        run: Provenance of the experiment.
        method: The method whose labels they are, or `ceiling`.
        seed: Training seed.
        file: Name of the file of labels beside the card.
        what: What is in it.
    """
    about = {
        "tags": ["outgrow", "weak-to-strong"],
        "task_categories": ["text-generation" if run["choices"] is None else "text-classification"],
        "configs": [{"config_name": "default", "data_files": file}],
    }
    weak = "Weak supervisors, or a model that learned from them, wrote the answers. Nobody checked them."
    return f"""\
---
{_yaml(about)}---

# {run["config"]["name"]}: labels of {method}, seed {seed}

{what}.
{"The answers are gold." if method == "ceiling" else weak}

## Lineage

```yaml
{_yaml(_plain({**_lineage(run, method), "seed": seed}))}```

## Licences

The licence of the prompts, and the terms under which the labels were made (people, models, providers), hold for this
file. None of this was checked: before you publish it, read them and set `license:` at the top of this file.
"""


def _lineage(run: Mapping[str, Any], method: str) -> dict[str, Any]:
    config = run["config"]
    return {
        "task": {key: config["task"][key] for key in ("name", "path", "choices", "template")},
        "supervisors": config["supervisors"],
        "method": {method: config["methods"].get(method) or "gold answers"},
        "rows": run["sizes"],
        "versions": run["versions"],
    }


def _form(student: Student) -> str:
    adapter = "The folder holds a LoRA adapter, which is loaded on top of the base model." if student.separate else ""
    if student.choices is None:
        return f"It is a causal language model. {adapter}".strip()
    pooled = "the mean over tokens" if student.pooling == "mean" else "the last token"
    scored = "scores each choice of a row" if student.by_row else f"tells {len(student.choices)} choices apart"
    return (
        f"It is a network without a head; a linear head in `head.safetensors` on {pooled} of its last states {scored}. "
        "No class of transformers has this head: the lines below put the two together, and a pipeline for "
        f"classification would add an untrained head instead. {adapter}"
    ).strip()


def _code(student: Student) -> str:
    if student.choices is None:
        said = "said" + "".join(f".split({stop!r})[0]" for stop in student.generate.stop)
        # A chat template writes its special tokens itself.
        special = "add_special_tokens=False, " if student.chat is not False else ""
        return _LOAD_TEXTS.substitute(asked=repr(student.asked), special=special, said=said)
    if student.by_row:
        labels = '\ndef probabilities(prompt, choices):\n    texts = [f"{prompt}\\n{choice}" for choice in choices]'
    else:
        labels = f"labels = {list(student.choices)!r}\n\ndef probabilities(texts):"
    length = student.max_length
    return _LOAD_CHOICES.substitute(
        labels=labels,
        cut=f"truncation=True, max_length={length}, " if length else "",
        pooled=_POOLED[student.pooling or "mean"],
        each=".T" if student.by_row else "",
        probabilities=_probabilities(student),
    )


def _probabilities(student: Student) -> str:
    objective = make_objective(student.objective)
    if not can(objective, "vacuity"):
        return "logits.softmax(-1)"
    evidence: str = getattr(objective, "evidence", "")
    if evidence not in _EVIDENCE:
        return f"logits  # {student.objective.name} has its own way from here to probabilities"
    return f"torch.nn.functional.normalize(1 + {_EVIDENCE[evidence]}, p=1, dim=-1)  # a Dirichlet's mean"


def _table(metric: MetricSummary, method: str) -> str:
    columns = number_columns(metric)
    head = ["", "role", *(column.title for column in columns)]
    rows = [head, ["---"] * len(head)]
    for line in ordered_lines(metric):
        name = f"**{line.name}**" if line.name == method else line.name
        rows.append([name, line.role, *(column.cell(line, " ") for column in columns)])
    lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)
    return f"{metric_title(metric)}\n\n{''.join(lines)}\n"


def _plain(value: Any) -> Any:
    """A value without what is not set; of absolute paths the last part: a card is public."""
    if isinstance(value, Mapping):
        return {key: _plain(own) for key, own in value.items() if own is not None and own not in ({}, [])}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text
