"""SNIPS (Coucke et al. 2018): commands to a voice assistant, and the slots they fill.

One row: `{"text": "play some jazz", "slots": "O O B-genre", "intent": "PlayMusic"}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from outgrow.evaluate.slot_json import slots_of, tidy
from outgrow.evaluate.slu import Slot
from outgrow.tasks.slots import SlotTask, Utterance

_SLOTS = """
album artist best_rating city condition_description condition_temperature country cuisine current_location entity_name
facility genre geographic_poi location_name movie_name movie_type music_item object_location_type object_name
object_part_of_series_type object_select object_type party_size_description party_size_number playlist playlist_owner
poi rating_unit rating_value restaurant_name restaurant_type served_dish service sort spatial_relation state timeRange
track year
"""


@dataclass(frozen=True)
class Snips(SlotTask):
    """`task: {name: snips, path: …}`: a folder with `train`, `valid` and `test.jsonl.gz`, or one file."""

    files: ClassVar[tuple[str, ...]] = ("train", "valid", "test")
    schema: ClassVar[tuple[str, ...]] = tuple(_SLOTS.split())

    def utterance(self, row: Mapping[str, Any]) -> Utterance:
        """One row."""
        words = tidy(row["text"]).split()
        return Utterance(" ".join(words), spans_of_bio(words, row["slots"].split()))


def spans_of_bio(words: Sequence[str], tags: Sequence[str]) -> tuple[Slot, ...]:
    """Slots from one BIO tag a word; an `I-` that continues nothing begins a slot, as in the CoNLL evaluation.

    Example:
        >>> spans_of_bio(["play", "miles", "davis"], ["O", "B-artist", "I-artist"])
        ({'type': 'artist', 'filler': 'miles davis'},)
    """
    found: list[tuple[str, list[str]]] = []
    before = "O"
    for word, tag in zip(words, tags, strict=True):
        kind, _, name = tag.partition("-")
        if kind == "I" and before[2:] == name:
            found[-1][1].append(word)
        elif kind in ("B", "I"):
            found.append((name, [word]))
        before = tag
    return slots_of((name, " ".join(own)) for name, own in found)
