"""Which tokens are hidden, and the loss on them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from outgrow.models.classifier import Encoder
from outgrow.models.loading import load_masked_lm, load_tokenizer
from outgrow.train.pretraining import MaskedLosses, collate_masked, mask_tokens, maskable

MASK = 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(0, 25), st.integers(0, 5))
def test_only_places_are_hidden_as_many_as_asked_for_and_nothing_else_changes(
    places: list[bool], count: int, seed: int
) -> None:
    ids = torch.arange(100, 100 + len(places))
    seen, chosen = mask_tokens(ids, torch.tensor(places), count, mask=MASK, vocabulary=50, generator=generator(seed))
    assert len(set(chosen.tolist())) == len(chosen) == min(count, sum(places))
    assert all(places[place] for place in chosen.tolist())
    untouched = torch.ones(len(places), dtype=torch.bool)
    untouched[chosen] = False
    assert torch.equal(seen[untouched], ids[untouched])


def test_of_the_hidden_tokens_eight_tenths_are_masked_and_a_tenth_is_random() -> None:
    ids = torch.full((20_000,), 1000)
    seen, chosen = mask_tokens(ids, ids > 0, 10_000, mask=MASK, vocabulary=50, generator=generator())
    fates = Counter("mask" if id_ == MASK else "same" if id_ == 1000 else "other" for id_ in seen[chosen].tolist())
    assert fates["mask"] / 10_000 == pytest.approx(0.8, abs=0.02)
    assert fates["same"] / 10_000 == pytest.approx(0.1, abs=0.02)
    assert fates["other"] / 10_000 == pytest.approx(0.1, abs=0.02)


def test_special_tokens_are_never_hidden_and_of_every_other_text_at_least_one_token() -> None:
    tokens = [{"input_ids": [2, 3]}, {"input_ids": [2, 9, 3]}, {"input_ids": [2, *range(10, 30), 3]}]
    rows = maskable(tokens, [2, 3], 0.15)
    assert [(row["row"], row["places"], row["weight"]) for row in rows] == [
        (1, [1], 1.0),
        (2, list(range(1, 21)), 3.0),
    ]


def losses_and_batch(folder: Path, texts: list[str]) -> tuple[Any, MaskedLosses, Any, list[Any]]:
    torch.manual_seed(0)
    model, tokenizer = load_masked_lm(str(folder)), load_tokenizer(str(folder))
    encoder = Encoder.load(str(folder), model, max_length=None)
    rows = maskable(encoder.tokenise(texts), tokenizer.all_special_ids, 0.4)
    losses = MaskedLosses(mask=tokenizer.mask_token_id, vocabulary=len(tokenizer), seed=3)
    return model, losses, collate_masked(encoder), rows


TEXTS = ["the film was good", "a plot", "not a very bad film with heart", "no"]


def test_losses_do_not_depend_on_how_a_batch_is_cut(encoder_folder: Path) -> None:
    model, losses, collate, rows = losses_and_batch(encoder_folder, TEXTS)
    with torch.no_grad():
        whole = losses(model, collate(rows), 0.25)
        pieces = torch.cat([losses(model, collate([row]), 0.25) for row in rows])
    torch.testing.assert_close(whole, pieces)


def test_masks_change_from_step_to_step_and_are_the_same_again_for_the_same_step(encoder_folder: Path) -> None:
    model, losses, collate, rows = losses_and_batch(encoder_folder, TEXTS)
    with torch.no_grad():
        now, again, later = (losses(model, collate(rows), progress) for progress in (0.25, 0.25, 0.5))
    assert torch.equal(now, again)
    assert not torch.equal(now, later)


def test_the_loss_is_the_mean_over_hidden_tokens_of_their_cross_entropy(encoder_folder: Path) -> None:
    model, losses, collate, rows = losses_and_batch(encoder_folder, TEXTS)
    batch, fed = collate(rows), []

    def spy(**inputs: Tensor) -> Any:
        fed.append(inputs["input_ids"])
        return model(**inputs)

    with torch.no_grad():
        found = losses(spy, batch, 0.5)
        log_probs = torch.log_softmax(model(input_ids=fed[0], attention_mask=batch["attention_mask"]).logits, -1)
    for index, row in enumerate(rows):
        draw = losses._draw(row["row"], 0.5)
        _, chosen = mask_tokens(
            batch["input_ids"][index],
            batch["places"][index],
            int(row["weight"]),
            mask=MASK,
            vocabulary=17,
            generator=draw,
        )
        truth = batch["input_ids"][index, chosen]
        torch.testing.assert_close(found[index], -log_probs[index, chosen, truth].mean())
