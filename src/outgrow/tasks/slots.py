"""Slot filling as a text task: an utterance in, JSON of its slots out, scored by SLU-F1."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Split, TaskConfig
from outgrow.errors import ConfigError, DataError
from outgrow.evaluate.slu import Problem, Slot, f1_of_counts, read_slots, slots_of, slu_counts, tidy, write_slots
from outgrow.labels import Part, Rows, Weighted
from outgrow.tasks.protocol import Task
from outgrow.tasks.split import assign_parts, normalise, rows_in_parts, size_of
from outgrow.tasks.tables import read_records
from outgrow.worlds.home import SCHEMA

TEMPLATE = "Slots: {slots}\nUtterance: {utterance}"
"""The default prompt, with the names of all slots. Small models may do better with `{utterance}` alone."""

_SLURP_SLOTS = """
alarm_type app_name artist_name audiobook_author audiobook_name business_name business_type change_amount coffee_type
color_type cooking_type currency_name date definition_word device_type drink_type email_address email_folder
event_name food_type game_name game_type general_frequency house_place ingredient joke_type list_name meal_type
media_type movie_name movie_type music_album music_descriptor music_genre news_topic order_type person personal_info
place_name player_setting playlist_name podcast_descriptor podcast_name radio_name relation song_name sport_type time
time_zone timeofday transport_agency transport_descriptor transport_name transport_type weather_descriptor
"""
_SNIPS_SLOTS = """
album artist best_rating city condition_description condition_temperature country cuisine current_location entity_name
facility genre geographic_poi location_name movie_name movie_type music_item object_location_type object_name
object_part_of_series_type object_select object_type party_size_description party_size_number playlist playlist_owner
poi rating_unit rating_value restaurant_name restaurant_type served_dish service sort spatial_relation state timeRange
track year
"""


@dataclass(frozen=True)
class Utterance:
    """A command and the slots it fills."""

    text: str
    """Lower-cased words separated by single spaces."""
    slots: tuple[Slot, ...]
    """In the order of the utterance."""


@dataclass(frozen=True)
class SlotTask(Task):
    """Base of the slot-filling tasks. Gold answers are JSON such as `{"time": ["five am"]}`."""

    schema: ClassVar[tuple[str, ...]]
    """Names of all slots."""
    files: ClassVar[tuple[str, ...]]
    """Names of the files in a folder, without `.jsonl` or `.jsonl.gz`."""

    @abstractmethod
    def utterance(self, row: Mapping[str, Any]) -> Utterance:
        """Convert one row of a file. Lookup, type and value errors mean that the row has another form."""

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows. Ids are the name of the file and the place in it, such as `test-0`.

        A file `test` is the test part (or `split.test` of it, if that is set); utterances of other files that occur in
        it are left out. All other rows are assigned to parts by `assign_parts`.

        Raises:
            ConfigError: `task.choices`, `split.group` or `split.voted` is set, or the template is wrong.
            DataError: Data are missing or have another form; see also `outgrow.tasks.split`.
        """
        files = {name: [self._checked(row, name) for row in rows] for name, rows in self._files(config).items()}
        if config.choices is not None:
            raise ConfigError(f"The task {config.name!r} is a text task.", found="task.choices", fix="Leave it out.")
        if config.split.group is not None or config.split.voted is not None:
            raise ConfigError(
                f"The task {config.name!r} assigns its rows to parts without groups and votes.",
                found="task.split.group or task.split.voted",
                fix="Leave them out.",
            )
        rows = [(f"{name}-{place}", name, one) for name, own in files.items() for place, one in enumerate(own)]
        if config.limit is not None and config.limit < len(rows):
            chosen = np.sort(np.random.default_rng(config.split.seed).permutation(len(rows))[: config.limit])
            rows = [rows[row] for row in chosen]
        return rows_in_parts(
            _parts(rows, config.split),
            ids=[name for name, _, _ in rows],
            prompts=[self._prompt(config.template, one) for _, _, one in rows],
            gold=[write_slots(one.slots) for _, _, one in rows],
            where=config.source,
        )

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, Weighted]:
        """Return SLU-F1 and exact span F1, whose weighted means are the scores of the corpus.

        F1 = 2 TP / (2 TP + FP + FN) of a corpus is the mean of the rows' F1 weighted by their denominators.
        """
        gold = [read_slots(str(text), self.schema).slots for text in rows.gold]
        counts = slu_counts(gold, [read_slots(answer, self.schema).slots for answer in answers])
        return {"slu_f1": _weighted(counts.slu), "span_f1": _weighted(counts.span)}

    def remarks(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> list[str]:
        """Return how many answers are empty, cannot be parsed, or name slots that do not exist, if any."""
        problems = Counter(read_slots(answer, self.schema).problem for answer in answers)
        words: dict[Problem, str] = {
            "empty": "empty",
            "unparsable": "no JSON of slots",
            "unknown slots": "with slots that do not exist",
        }
        found = [f"{problems[problem]} {said}" for problem, said in words.items() if problems[problem]]
        return [f"Of {len(answers)} answers, {', '.join(found)}."] if found else []

    def usable(self, config: TaskConfig, answers: Sequence[str]) -> list[bool]:
        """Return whether each answer is JSON of slots, whatever their names."""
        return [read_slots(answer, self.schema).problem not in ("empty", "unparsable") for answer in answers]

    def _files(self, config: TaskConfig) -> dict[str, list[dict[str, Any]]]:
        folder = Path(config.source)
        if not folder.is_dir():
            return {"rows": read_records(config.source, encoding=config.encoding).to_pylist()}
        candidates = [(name, folder / f"{name}{ending}") for name in self.files for ending in (".jsonl", ".jsonl.gz")]
        found = {
            name: read_records(str(path), encoding=config.encoding).to_pylist()
            for name, path in candidates
            if path.is_file()
        }
        if not found:
            wanted = " or ".join(f"{name}.jsonl.gz" for name in self.files)
            raise DataError(f"There is no data in {folder}.", wanted=wanted)
        return found

    def _checked(self, row: Mapping[str, Any], where: str) -> Utterance:
        kind = type(self).__name__
        try:
            utterance = self.utterance(row)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            found, wanted = f"{str(row)[:120]} ({error!r})", f"rows as described in outgrow.tasks.slots.{kind}"
            raise DataError(f"A row of {where} is not one of {kind}'s.", found=found, wanted=wanted) from error
        unknown = next((slot["type"] for slot in utterance.slots if slot["type"] not in self.schema), None)
        if unknown is not None:
            raise DataError(f"A row of {where} has a slot that {kind} does not have.", found=unknown)
        return utterance

    def _prompt(self, template: str | None, one: Utterance) -> str:
        template = TEMPLATE if template is None else template
        try:
            return template.format_map({"slots": ", ".join(self.schema), "utterance": one.text})
        except (ValueError, KeyError, IndexError) as error:
            wanted = "text with {utterance} and perhaps {slots}"
            raise ConfigError("task.template is not a template.", found=repr(template), wanted=wanted) from error


@dataclass(frozen=True)
class Slurp(SlotTask):
    """`task: {name: slurp, path: …}`: commands to a home assistant (Bastianelli et al. 2020).

    A folder with `test.jsonl.gz` and `train_proxy`, `train` or `devel`, or one file. There are two kinds of rows.
    SLURP's own are `{"tokens": [{"surface": "wake"}, …], "entities": [{"span": [4, 5], "type": "time"}]}`; the
    utterance is the tokens separated by spaces, so a filler can always be copied from it. Rows of the data set that
    SLURP grew from are `{"text": "wake me up at five am", "entities": [{"value": "five am", "entity": "time"}]}`; they
    have no `sport_type`, and some spans are wider.
    """

    files: ClassVar[tuple[str, ...]] = ("train_proxy", "train", "devel", "test")
    schema: ClassVar[tuple[str, ...]] = tuple(_SLURP_SLOTS.split())

    def utterance(self, row: Mapping[str, Any]) -> Utterance:
        """Convert a row of either kind."""
        if row.get("tokens") is None:
            slots = [(one["entity"], tidy(one["value"])) for one in row["entities"]]
            return Utterance(tidy(row["text"]), slots_of(slots))
        words = [tidy(token["surface"]) for token in row["tokens"]]
        slots = [(one["type"], " ".join(words[place] for place in one["span"])) for one in row["entities"]]
        return Utterance(" ".join(words), slots_of(slots))


@dataclass(frozen=True)
class Snips(SlotTask):
    """`task: {name: snips, path: …}`: commands to a voice assistant (Coucke et al. 2018).

    A folder with `train`, `valid` and `test.jsonl.gz`, or one file.
    One row: `{"text": "play some jazz", "slots": "O O B-genre", "intent": "PlayMusic"}`.
    """

    files: ClassVar[tuple[str, ...]] = ("train", "valid", "test")
    schema: ClassVar[tuple[str, ...]] = tuple(_SNIPS_SLOTS.split())

    def utterance(self, row: Mapping[str, Any]) -> Utterance:
        """Convert one row."""
        words = tidy(row["text"]).split()
        return Utterance(" ".join(words), spans_of_bio(words, row["slots"].split()))


@dataclass(frozen=True)
class Home(SlotTask):
    """`task: {name: home, path: …}`: a folder written by `outgrow.worlds.home.build`.

    One row: `{"text": "play bach", "slots": [{"type": "music", "filler": "bach"}]}`.
    """

    files: ClassVar[tuple[str, ...]] = ("train", "test")
    schema: ClassVar[tuple[str, ...]] = SCHEMA

    def utterance(self, row: Mapping[str, Any]) -> Utterance:
        """Convert one row."""
        return Utterance(tidy(row["text"]), slots_of((slot["type"], tidy(slot["filler"])) for slot in row["slots"]))


def spans_of_bio(words: Sequence[str], tags: Sequence[str]) -> tuple[Slot, ...]:
    """Return the slots of one BIO tag per word. An `I-` that continues nothing begins a slot, as in CoNLL.

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


def _weighted(counts: NDArray[np.float64]) -> Weighted:
    return Weighted(
        np.array([f1_of_counts(row) for row in counts], dtype=np.float64), counts @ np.array([2.0, 1.0, 1.0])
    )


def _parts(rows: Sequence[tuple[str, str, Utterance]], split: Split) -> list[Part | None]:
    prompts = [one.text for *_, one in rows]
    gold = [one.slots for *_, one in rows]
    held = [place for place, (_, name, _) in enumerate(rows) if name == "test"]
    if not held:
        return assign_parts(prompts, gold, split)
    count = len(held)
    if "test" in split.model_fields_set and split.test != "all":
        count = size_of(split.test, len(held))
    if count > len(held):
        raise DataError("The test file has too few rows.", found=len(held), wanted=count, fix="Lower task.split.test.")
    parts: list[Part | None] = [None] * len(rows)
    for place in np.random.default_rng(split.seed).permutation(held)[:count]:
        parts[place] = "test"
    tested = {normalise(prompts[place]) for place in held}
    rest = [place for place, prompt in enumerate(prompts) if normalise(prompt) not in tested]
    sizes = split.model_copy(update={"test": 0})
    dealt = assign_parts([prompts[place] for place in rest], [gold[place] for place in rest], sizes)
    for place, part in zip(rest, dealt, strict=True):
        parts[place] = part
    return parts
