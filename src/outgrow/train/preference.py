"""Students that learn from pairs of texts: thin training on differences of log-probabilities.

The reference is the model that training starts from. Its log-probabilities are computed once, in fp32, and kept in the
store, so that no second model is in memory while the student trains. A fresh LoRA adapter changes nothing before its
first step: its reference is the same network with the adapter switched off.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from outgrow.config import Named
from outgrow.errors import DataError
from outgrow.identity import identity
from outgrow.labels import PreferencePairs, TextTargets
from outgrow.models.adapters import LoRA
from outgrow.models.loading import check_model, context_length, load_causal_lm, load_tokenizer, model_identity
from outgrow.objectives import PreferenceObjective, cross_entropy, kto_reference_point
from outgrow.registry import create
from outgrow.scale.local import map_shards
from outgrow.store import Artefact, read_table, table_hash, write_table
from outgrow.train.answers import collate, tokenise
from outgrow.train.supervised import Gather, fit, training_arguments
from outgrow.train.text import answer_logits, text_wrapper
from outgrow.workspace import Workspace

_DEFAULTS = {"num_train_epochs": 1, "learning_rate": 5e-6}
_SHARD_PAIRS = 256
"""Pairs between two savings of the reference pass."""


class PreferenceLosses:
    """Losses of a batch of pairs; remembers the reference point of the step, if its objective has one."""

    def __init__(self, objective: PreferenceObjective) -> None:
        self._objective = objective
        self._point = torch.zeros(())

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Losses of shape (N,)."""
        policy = text_logprobs(model, _texts(batch, slice(0, 2)))
        return self._objective(policy, batch["reference"][:, :2], batch["wrong"], self._point)

    def begin_step(self, model: nn.Module, pieces: Sequence[dict[str, Tensor]], gather: Gather) -> None:
        """Finds the reference point over the whole batch of the step."""
        if not self._objective.takes_mismatched:
            return
        with torch.no_grad():
            own = [
                torch.stack([text_logprobs(model, _texts(piece, slice(2, 3)))[:, 0], piece["reference"][:, 2]])
                for piece in pieces
            ]
            weights = torch.cat([piece["weights"] for piece in pieces])
            policy, reference, weights = gather(torch.cat([torch.cat(own, dim=1), weights[None]]).T).T
            self._point = kto_reference_point(policy, reference, weights)

    def state(self) -> Any:
        """Nothing: a step's reference point is found anew."""
        return None

    def restore(self, state: Any) -> None:
        """Nothing."""


def text_logprobs(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Log p of each whole answer given its prompt, in fp32, shape (N, M); 0 where there is no text.

    Args:
        model: A causal language model.
        batch: `input_ids` and `attention_mask` (N, M, T), padded on the right, and `learned` (N, M, T − 1): whether
            each predicted token is part of an answer.
    """
    ids, mask, learned = batch["input_ids"], batch["attention_mask"], batch["learned"]
    logits = answer_logits(model, ids, mask, learned)
    tokens = torch.zeros(learned.shape, device=logits.device)
    tokens[learned] = -cross_entropy(logits.float(), ids[..., 1:][learned], reduction="none")
    return tokens.sum(-1)


@dataclass(frozen=True)
class PreferenceLearner:
    """Goes on training a causal language model on pairs of texts, wholly or through LoRA.

    A folder that holds a LoRA adapter alone is trained in that adapter. Dropout of the model is switched off, as in the
    reference. Texts that are longer than the model can read are cut.
    """

    model: str
    """A folder or hub id: where the student starts, and its reference."""
    adapter: Named
    """`none` or `lora` with its parameters."""
    max_length: int | None = None
    """Cut prompt and answer together to so many tokens; by default to the model's context."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """TrainingArguments of the user; one epoch at a learning rate of 5e-6 by default. Batches count pairs."""
    batch_size: int = 32
    """Pairs at once where nothing is learned."""

    def __post_init__(self) -> None:
        # Wrong settings are refused before anything is computed.
        check_model(self.model)
        text_wrapper(self.adapter)
        check_preference_trainer(self.trainer)

    def train(
        self, pairs: PreferencePairs, objective: Named, workspace: Workspace, *, seed: int, name: str
    ) -> Artefact:
        """Trains on pairs; found in the store if it was done before.

        The artefact's folder `model` is a model folder like any other.

        Args:
            pairs: What is preferred to what; prompts are whole, as the model will see them.
            objective: What to minimise on every pair: see `preference_objective`.
            workspace: Store and reporter.
            seed: Fixes the order of pairs and fresh weights.
            name: What the step is called.

        Raises:
            DataError: There are no pairs, or a prompt leaves no room for an answer.
        """
        loss = preference_objective(objective)
        if not len(pairs):
            raise DataError("There are no preference pairs to learn from.")
        reference = self.reference(pairs, workspace, name=f"reference for {name}", mismatched=loss.takes_mismatched)

        def make(folder: Path) -> None:
            torch.manual_seed(seed)
            network, tokenizer = self._network(), load_tokenizer(self.model)
            lines = self._lines(pairs, tokenizer, network, mismatched=loss.takes_mismatched)
            doubts = pairs.doubts() if loss.takes_doubt else np.zeros(len(pairs))
            rows = [
                {"texts": line, "reference": own, "wrong": wrong, "weights": weight}
                for line, own, wrong, weight in zip(lines, reference, doubts, pairs.weights, strict=True)
            ]
            arguments = training_arguments(folder / "checkpoints", self.trainer, seed=seed, **_DEFAULTS)
            fit(network, rows, _collate, PreferenceLosses(loss), arguments, reporter=workspace.reporter, name=name)
            network.save_pretrained(folder / "model")
            tokenizer.save_pretrained(folder / "model")
            shutil.rmtree(folder / "checkpoints")

        recipe = {
            "model": model_identity(self.model),
            "adapter": identity(text_wrapper(self.adapter)),
            "max_length": self.max_length,
            "trainer": dict(self.trainer),
            "objective": identity(loss),
            "pairs": table_hash(_content(pairs, doubts=loss.takes_doubt)),
            "seed": seed,
        }
        return workspace.get("preference-student", recipe, make)

    def reference(
        self, pairs: PreferencePairs, workspace: Workspace, *, name: str, mismatched: bool = False
    ) -> NDArray[np.float32]:
        """The model's log-probabilities of all texts, one pass in fp32; found in the store if it was done before.

        Args:
            pairs: N pairs.
            workspace: Store and reporter.
            name: What the step is called.
            mismatched: Whether to add the answer of another prompt to each pair.

        Returns:
            Shape (N, 2): chosen, rejected; with `mismatched` (N, 3).
        """

        def make(folder: Path) -> None:
            network, tokenizer = load_causal_lm(self.model), load_tokenizer(self.model)
            lines = self._lines(pairs, tokenizer, network, mismatched=mismatched)

            def work(piece: Sequence[Mapping[str, Any]]) -> pa.Table:
                return pa.table({"logprobs": pa.array(_in_batches(network, piece, self.batch_size).tolist())})

            table = map_shards(work, lines, folder, shard_size=_SHARD_PAIRS, reporter=workspace.reporter, name=name)
            write_table(folder / "logprobs.parquet", table)

        recipe = {
            "model": model_identity(self.model),
            "max_length": self.max_length,
            "texts": table_hash(_content(pairs, doubts=False).drop_columns("weight")),
            "mismatched": mismatched,
        }
        table = read_table(workspace.get("reference", recipe, make).path / "logprobs.parquet")
        return np.array(table["logprobs"].to_pylist(), dtype=np.float32).reshape(len(pairs), -1)

    def _network(self) -> Any:
        """What trains: everything, the adapter that the folder holds, or a fresh one."""
        wrapper, adapter = text_wrapper(self.adapter), Path(self.model) / "adapter_config.json"
        if isinstance(wrapper, LoRA) and adapter.is_file():
            base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
            return wrapper.go_on(_without_dropout(load_causal_lm(base)), self.model)
        return wrapper.wrap(_without_dropout(load_causal_lm(self.model)))

    def _lines(self, pairs: PreferencePairs, tokenizer: Any, network: Any, *, mismatched: bool) -> list[dict[str, Any]]:
        """One line per pair: the tokens of its two or three texts; see `tokenise`."""
        limit = min(filter(None, (self.max_length, context_length(network))), default=None)
        texts, ended = [pairs.chosen, pairs.rejected], [pairs.chosen_ended, pairs.rejected_ended]
        if mismatched:
            half = len(pairs) // 2
            texts.append(pairs.chosen[half:] + pairs.chosen[:half])
            ended.append(pairs.chosen_ended[half:] + pairs.chosen_ended[:half])
        count, several = len(pairs), len(texts)
        targets = TextTargets(
            ids=tuple(str(row) for row in range(count) for _ in texts),
            prompts=tuple(prompt for prompt in pairs.prompts for _ in texts),
            texts=tuple(text for row in zip(*texts, strict=True) for text in row),
            weights=(1.0,) * count * several,
            sources=("pair",) * count * several,
        )
        lines = tokenise(targets, tokenizer, limit=limit, cut=True)
        for line, whole in zip(lines, zip(*ended, strict=True), strict=True):
            _without_ends(line, whole, tokenizer.eos_token_id)
        return lines


def preference_objective(config: Named) -> PreferenceObjective:
    """The preference objective that a configuration names: `dpo`, `cdpo`, `kto` or a plug-in.

    Raises:
        UnknownNameError: There is none of this name.
        ConfigError: It refuses its parameters.
    """
    objective: PreferenceObjective = create("preference", config.name, config.params)
    return objective


def check_preference_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuses TrainingArguments that do not exist or make no sense.

    Raises:
        ConfigError: See `training_arguments`.
    """
    training_arguments(Path(), trainer, seed=0, **_DEFAULTS)


def _without_ends(line: dict[str, Any], whole: Sequence[bool], end: int | None) -> None:
    """Takes away the end-of-sequence token of texts that were cut: they never had one."""
    for text, ended in enumerate(whole):
        if not ended and end is not None and line["input_ids"][text][-1] == end:
            for column in line.values():
                del column[text][-1]


def _content(pairs: PreferencePairs, *, doubts: bool) -> pa.Table:
    """What training depends on: not the ids, and doubts only where they are looked at."""
    return pairs.to_arrow().drop_columns(["id"] if doubts else ["id", "p_chosen"])


def _collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A batch of N pairs: the texts as in `text_logprobs`, `reference` (N, 2 or 3), `wrong` and `weights` (N,)."""
    batch = _padded([row["texts"] for row in rows])
    batch["reference"] = torch.tensor(np.stack([row["reference"] for row in rows]))
    for name in ("wrong", "weights"):
        batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
    return batch


def _padded(lines: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    batch = collate(lines)
    return {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "learned": batch["weights"] > 0,
    }


def _texts(batch: Mapping[str, Tensor], which: slice) -> dict[str, Tensor]:
    """Some of the texts of every pair."""
    return {name: batch[name][:, which] for name in ("input_ids", "attention_mask", "learned")}


def _in_batches(network: nn.Module, lines: Sequence[Mapping[str, Any]], batch_size: int) -> NDArray[np.float32]:
    """Log-probabilities of the texts of every line, pairs of like length together."""
    order = np.argsort([max(map(len, line["input_ids"])) for line in lines], kind="stable")
    found = np.zeros((len(lines), len(lines[0]["input_ids"])), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            found[rows] = text_logprobs(network, _padded([lines[row] for row in rows])).numpy()
    return found


def _without_dropout(network: Any) -> Any:
    """The network, whose log-probabilities while training are those of the reference at the start."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    return network
