"""Preference training of causal language models on pairs of texts.

The reference is the model that training starts from. Its log-probabilities are computed once, in fp32, and kept in the
store, so that no second model is in memory while the student trains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from outgrow import ranks
from outgrow.config import Named
from outgrow.errors import DataError
from outgrow.files import read_table, write_table
from outgrow.labels import PreferencePairs, TextTargets
from outgrow.models.loading import context_length, load_causal_lm, load_tokenizer, text_identity
from outgrow.models.planning import Work
from outgrow.models.rendering import renderer
from outgrow.objectives import PreferenceObjective, cross_entropy, kto_reference_point
from outgrow.registry import can, create
from outgrow.run import Run
from outgrow.scale.local import map_shards
from outgrow.store import Artefact, table_hash
from outgrow.train.answers import collate, longest, tokenise
from outgrow.train.arguments import FineTuning, training_arguments
from outgrow.train.supervised import Gather, RowLosses, fit, save_model
from outgrow.train.text import answer_logits

_SHARD_PAIRS = 256
"""Pairs per shard of the reference's log-probabilities."""


class PreferenceLosses(RowLosses):
    """Losses of a batch of pairs, with the reference point of the step for objectives that need one."""

    def __init__(self, objective: PreferenceObjective) -> None:
        self._objective = objective
        self._point = torch.zeros(())

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Return losses of shape (N,)."""
        policy = text_logprobs(model, _texts(batch, slice(0, 2)))
        return self._objective(policy, batch["reference"][:, :2], batch["wrong"], self._point)

    def begin_step(self, model: nn.Module, pieces: Sequence[dict[str, Tensor]], gather: Gather) -> None:
        """Estimate the reference point on the whole batch of the step."""
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


def text_logprobs(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return log p of each whole answer given its prompt, in fp32, shape (N, M); 0 where there is no text.

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
class PreferenceLearner(FineTuning):
    """Preference training of a causal language model, wholly or through LoRA; batches count pairs.

    A model folder with nothing but a LoRA adapter is trained in that adapter. Dropout is switched off, as in the
    reference. Prompt and answer together are cut to `max_length` tokens, by default to the model's context.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"num_train_epochs": 1, "learning_rate": 5e-6}

    batch_size: int = 32
    """Pairs per batch of the reference."""

    def train(self, pairs: PreferencePairs, objective: Named, run: Run, *, seed: int, name: str) -> Artefact:
        """Train on pairs with whole prompts, as the model will see them; found in the store if it was done before.

        Returns:
            An artefact with the student in `model`, a folder that plain transformers load.

        Raises:
            DataError: There are no pairs, or a prompt leaves no room for an answer.
        """
        loss = preference_objective(objective)
        if not len(pairs):
            raise DataError("There are no preference pairs to learn from.")
        reference = self.reference(pairs, run, name=f"reference for {name}", mismatched=loss.takes_mismatched)

        def make(folder: Path) -> None:
            torch.manual_seed(seed)
            network, tokenizer = self._network(), load_tokenizer(self.model)
            lines = self._lines(pairs, context_length(network), mismatched=loss.takes_mismatched)
            doubts = pairs.doubts() if loss.takes_doubt else np.zeros(len(pairs))
            rows = [
                {"texts": line, "reference": own, "wrong": wrong, "weights": weight}
                for line, own, wrong, weight in zip(lines, reference, doubts, pairs.weights, strict=True)
            ]
            arguments = self.arguments(folder, seed=seed)
            losses = PreferenceLosses(loss)
            fit(network, rows, _collate, losses, arguments, _length, reporter=run.reporter, name=name)
            save_model(network, tokenizer, folder / "model")

        recipe = {
            **self.recipe(loss, seed),
            "model": text_identity(self.model, self.local),
            "pairs": table_hash(_content(pairs, doubts=loss.takes_doubt)),
        }

        def work() -> Work:
            return self.work(_whole(pairs), len(pairs), answers=pairs.chosen)

        return run.stage("preference-student", recipe, make, together=True, work=work)

    def reference(
        self, pairs: PreferencePairs, run: Run, *, name: str, mismatched: bool = False
    ) -> NDArray[np.float32]:
        """Return the reference's log-probabilities of N pairs; found in the store if computed before.

        Returns:
            Shape (N, 2): chosen, rejected; with `mismatched` (N, 3), the last of the answer to another prompt.
        """

        def make(folder: Path) -> None:
            how = self.model, self.local
            load, seen = partial(load_causal_lm, *how), partial(text_identity, *how)
            with run.executor.open(load, seen=seen, say=run.reporter.note) as apply:
                [(_, context)] = apply(_context, [(0, ())])
                lines = self._lines(pairs, context, mismatched=mismatched)
                made = partial(apply, partial(_reference, self.batch_size))
                shards = map_shards(made, lines, folder, shard_size=_SHARD_PAIRS, reporter=run.reporter, name=name)
            if ranks.first():
                write_table(folder / "logprobs.parquet", pa.concat_tables([*shards]))

        recipe = {
            "model": text_identity(self.model, self.local),
            "max_length": self.max_length,
            "texts": table_hash(_content(pairs, doubts=False).drop_columns("weight")),
            "mismatched": mismatched,
        }

        def blank(folder: Path) -> None:
            zeros = [[0.0] * (3 if mismatched else 2)] * len(pairs)
            write_table(folder / "logprobs.parquet", pa.table({"logprobs": zeros}))

        def work() -> Work:
            return Work(self.model, _whole(pairs), 2 * self.batch_size, self.local, limit=self.max_length)

        together = run.executor.together
        made = run.stage("reference", recipe, make, blank=blank, together=together, work=work)
        table = read_table(made.path / "logprobs.parquet")
        return np.array(table["logprobs"].to_pylist(), dtype=np.float32).reshape(len(pairs), -1)

    def _network(self) -> Any:
        wrapper, adapter = self.wrapper, Path(self.model) / "adapter_config.json"
        if can(wrapper, "go_on") and adapter.is_file():
            base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
            return wrapper.go_on(_without_dropout(load_causal_lm(base, self.loaded)), self.model)
        return wrapper.wrap(_without_dropout(load_causal_lm(self.model, self.loaded)))

    def _lines(self, pairs: PreferencePairs, context: int | None, *, mismatched: bool) -> list[dict[str, Any]]:
        """Return one line per pair, with the tokens of its two or three texts; see `tokenise`."""
        limit = min(filter(None, (self.max_length, context)), default=None)
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
        speech = renderer(load_tokenizer(self.model), self.local.chat, self.local.system)
        lines = tokenise(targets, speech, limit=limit, cut=True)
        for line, whole in zip(lines, zip(*ended, strict=True), strict=True):
            _without_ends(line, whole, speech.end)
        return lines


def _context(network: Any, _: Sequence[Any]) -> int | None:
    return context_length(network)


def _reference(batch_size: int, network: Any, lines: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.table({"logprobs": pa.array(_in_batches(network, lines, batch_size).tolist())})


def preference_objective(config: Named) -> PreferenceObjective:
    """Create a preference objective."""
    objective: PreferenceObjective = create("preference", config.name, config.params)
    return objective


def check_preference_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuse TrainingArguments that do not exist or make no sense; see `training_arguments`."""
    training_arguments(Path(), trainer, seed=0, **PreferenceLearner.defaults)


def _without_ends(line: dict[str, Any], whole: Sequence[bool], end: int | None) -> None:
    # A text that was cut has no end-of-sequence token.
    for text, ended in enumerate(whole):
        if not ended and end is not None and line["input_ids"][text][-1] == end:
            for column in line.values():
                del column[text][-1]


def _whole(pairs: PreferencePairs) -> list[str]:
    return [
        prompt + text
        for prompt, *texts in zip(pairs.prompts, pairs.chosen, pairs.rejected, strict=True)
        for text in texts
    ]


def _content(pairs: PreferencePairs, *, doubts: bool) -> pa.Table:
    """What training depends on: not the ids, and doubts only where the objective uses them."""
    return pairs.to_arrow().drop_columns(["id"] if doubts else ["id", "p_chosen"])


def _collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A batch of N pairs: the texts as in `text_logprobs`, `reference` (N, 2 or 3), `wrong` and `weights` (N,)."""
    batch = _padded([row["texts"] for row in rows])
    batch["reference"] = torch.tensor(np.stack([row["reference"] for row in rows]))
    for name in ("wrong", "weights"):
        batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
    return batch


def _length(row: Mapping[str, Any]) -> int:
    return longest(row["texts"])


def _padded(lines: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    batch = collate(lines)
    return {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "learned": batch["weights"] > 0,
    }


def _texts(batch: Mapping[str, Tensor], which: slice) -> dict[str, Tensor]:
    return {name: batch[name][:, which] for name in ("input_ids", "attention_mask", "learned")}


def _in_batches(network: nn.Module, lines: Sequence[Mapping[str, Any]], batch_size: int) -> NDArray[np.float32]:
    # Pairs of similar length together.
    order = np.argsort([longest(line) for line in lines], kind="stable")
    found = np.zeros((len(lines), len(lines[0]["input_ids"])), dtype=np.float32)
    device = next(network.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = {key: value.to(device) for key, value in _padded([lines[row] for row in rows]).items()}
            found[rows] = text_logprobs(network, batch).cpu().numpy()
    return found


def _without_dropout(network: Any) -> Any:
    # At the start of training, its log-probabilities are then those of the reference.
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    return network
