"""A small encoder that is made on the spot, so that a first experiment needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

WIDTH = 256


def make_encoder(folder: Path, texts: Sequence[str]) -> None:
    """Write a transformers model that averages one random vector per word piece: a bag of words without any language.

    Its pieces are learned from `texts` but spell any text. A linear head on it is a linear classifier of word counts,
    projected at random (Johnson & Lindenstrauss 1984).
    """
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    pieces = BertWordPieceTokenizer()
    letters = [chr(code) for code in range(33, 127)]
    pieces.train_from_iterator([*texts, " ".join(letters), "".join(letters)], vocab_size=2000, show_progress=False)
    folder.mkdir(parents=True)
    pieces.save_model(str(folder))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(),
        hidden_size=WIDTH,
        num_hidden_layers=0,
        num_attention_heads=1,
        intermediate_size=WIDTH,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
    with torch.no_grad():
        model.embeddings.position_embeddings.weight.zero_()
        model.embeddings.token_type_embeddings.weight.zero_()
    model.save_pretrained(folder)
