"""The synthetic world `facts`: content and style of every answer can be scored exactly.

A latent-concept world in the sense of [TL] (arXiv 2405.16236), small enough for a laptop. Its facts are *content*:
every entity has one answer for every relation. Its answer styles are the *concept*: each document keeps to one style.
The strong model is pretrained on documents of all facts, mostly in another style than the target one. Two supervisors
always answer in the target style, but know only some of the facts and are confidently wrong about the rest.

```
Question: What does Mira drink?
Answer: Arr, cocoa, matey!
        └─┬─┘└─┬─┘└──┬──┘
        style content style
```

Half of the documents name their style (`Manner: Answer like a pirate.`) before their questions or after them, so that
the strong model can follow a style that a prompt names, and name the style of given answers.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError, DataError
from outgrow.labels import Part, Rows

BLOCK = "Question: {prompt}\nAnswer: {answer}\n\n"
"""One question of a document, in the format of the demonstrations of in-context refinement."""

HEADING = "Manner: {manner}\n\n"
"""A document's style, named before its questions; after them, the trailing line breaks are left out."""

SHARES: Mapping[Part, float] = {"gold": 1 / 6, "unlabelled": 1 / 2, "test": 1 / 3}
"""Share of the facts in each part."""

KNOWN: Mapping[str, float] = {"words": 0.4, "characters": 0.25}
"""Share of the facts that each supervisor knows. Supervisors are named after their tokenizers."""

_NAMES = (
    "Mira Tobin Selma Odin Petra Ravi Ines Hugo Lotte Kofi Wanda Bruno Yara Felix Nadia Emil Zora Jonas Thea Amir "
    "Greta Luca Farah Sven Olga Diego Paula Idris Vera Casper Noor Milan Edith Pablo Runa Anton Jade Boris Leila Otto"
)

_RELATIONS = (
    ("home", "Where does {entity} live?", "Oslo Cairo Lima Quito Dakar Hanoi Kyoto Perth"),
    ("food", "What does {entity} eat?", "bread rice beans soup cheese noodles dates eggs"),
    ("drink", "What does {entity} drink?", "cocoa tea coffee milk cider juice water broth"),
    ("music", "What does {entity} play?", "flute cello drums harp piano banjo organ lute"),
    ("garden", "What does {entity} grow?", "roses tulips onions grapes hops melons ferns mint"),
    ("pet", "Which pet does {entity} keep?", "cat goat parrot hamster rabbit turtle pony ferret"),
    ("colour", "Which colour does {entity} like?", "red blue green yellow purple grey white black"),
    ("hobby", "What does {entity} collect?", "stamps coins shells maps clocks stones masks kites"),
)


@dataclass(frozen=True)
class Relation:
    """A question that can be asked about every entity."""

    name: str
    question: str
    """Its text, with `{entity}` in place of the entity."""
    values: tuple[str, ...]
    """Possible answers; no two relations share one."""


@dataclass(frozen=True)
class Style:
    """A way to phrase an answer: what stands before and after its content."""

    name: str
    before: str
    after: str
    manner: str
    """The style in one sentence."""

    def render(self, content: str) -> str:
        """The content in this style."""
        return f"{self.before}{content}{self.after}"

    def frames(self, text: str) -> bool:
        """Whether a text is some content in this style."""
        longer = len(text) > len(self.before) + len(self.after)
        return longer and text.startswith(self.before) and text.endswith(self.after)


STYLES = (
    Style("plain", "It is ", ".", "Answer plainly."),
    Style("pirate", "Arr, ", ", matey!", "Answer like a pirate."),
    Style("formal", "Dear reader: ", ", indeed.", "Answer with formality."),
    Style("cheerful", "Oh, ", "! Hooray!", "Answer with cheer."),
)


class Parsed(NamedTuple):
    """Content and style of an answer."""

    content: str | None
    """The value that the answer names; None if it names none or several."""
    style: str | None
    """The style whose words stand before and after the content; None if no style matches."""


@dataclass(frozen=True)
class World:
    """Facts, styles and the supervisors' beliefs."""

    entities: tuple[str, ...]
    """Names of the E entities."""
    relations: tuple[Relation, ...]
    """The R relations."""
    answers: tuple[tuple[int, ...], ...]
    """The truth: `answers[entity][relation]` is an index into the relation's values."""
    beliefs: Mapping[str, tuple[tuple[int, ...], ...]]
    """What each supervisor believes, in the same form."""
    styles: tuple[Style, ...] = STYLES
    """The K styles."""
    prior: tuple[float, ...] = (0.7, 0.1, 0.1, 0.1)
    """Frequency of each style in the strong model's pretraining documents that do not name their style."""
    target: str = "pirate"
    """Name of the style that all supervisors use."""

    @property
    def facts(self) -> list[tuple[int, int]]:
        """All (entity, relation) pairs, entities first."""
        return [(entity, relation) for entity in range(len(self.entities)) for relation in range(len(self.relations))]

    @property
    def target_style(self) -> Style:
        """The style that all supervisors use."""
        return next(style for style in self.styles if style.name == self.target)

    def question(self, entity: int, relation: int) -> str:
        """The question about one fact."""
        return self.relations[relation].question.replace("{entity}", self.entities[entity])

    def truth(self, entity: int, relation: int) -> str:
        """The correct content."""
        return self.relations[relation].values[self.answers[entity][relation]]

    def belief(self, supervisor: str, entity: int, relation: int) -> str:
        """The content that a supervisor believes."""
        return self.relations[relation].values[self.beliefs[supervisor][entity][relation]]

    def parse(self, answer: str) -> Parsed:
        """Parse content and style of an answer, independently of each other."""
        text = answer.strip()
        values = {value for relation in self.relations for value in relation.values}
        named = values.intersection(re.findall(r"\w+", text))
        styles = (style.name for style in self.styles if style.frames(text))
        return Parsed(named.pop() if len(named) == 1 else None, next(styles, None))

    def rows(self, seed: int = 0) -> Rows:
        """Return one row per fact, split at random; gold answers are in the target style.

        Each fact is in one part only, so a student knows the facts of the test part from pretraining alone.
        """
        facts = self.facts
        order = np.random.default_rng([seed, len(facts)]).permutation(len(facts))
        ends = np.cumsum([round(SHARES["gold"] * len(facts)), round(SHARES["unlabelled"] * len(facts))])
        parts: list[Part] = ["test"] * len(facts)
        for place, index in enumerate(order):
            parts[index] = "gold" if place < ends[0] else "unlabelled" if place < ends[1] else "test"
        return Rows(
            ids=tuple(f"{self.relations[relation].name}-{self.entities[entity].lower()}" for entity, relation in facts),
            prompts=tuple(self.question(*fact) for fact in facts),
            parts=tuple(parts),
            gold=tuple(self.target_style.render(self.truth(*fact)) for fact in facts),
        )

    def to_json(self) -> str:
        """Return the world as JSON, keys in a fixed order."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> World:
        """Read what `to_json` wrote; DataError if the text is not a world."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["relations"] = tuple(
                Relation(**{**one, "values": tuple(one["values"])}) for one in fields["relations"]
            )
            fields["styles"] = tuple(Style(**one) for one in fields["styles"])
            fields["beliefs"] = {name: _table(table) for name, table in fields["beliefs"].items()}
            fields["answers"] = _table(fields["answers"])
            fields |= {name: tuple(fields[name]) for name in ("entities", "prior")}
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"This is not a world of facts: {error}", wanted="the world.json of a built world"
            ) from error


def make_world(*, seed: int = 0, entities: int = 30, relations: int = 8, known: Mapping[str, float] = KNOWN) -> World:
    """Draw the facts and the supervisors' beliefs; `known` is the share of the facts that each supervisor knows.

    Each value of a relation belongs to about the same number of entities, so guessing the most frequent one gains
    nothing. A supervisor answers an unknown question with its favourite value of the relation, or with its second
    favourite where the favourite would be right: its errors are systematic, as those of real models are; a student
    would average random ones away.

    Raises:
        ConfigError: Too many entities or relations, or a share outside [0, 1].
    """
    for what, count, most in (("entities", entities, len(_NAMES.split())), ("relations", relations, len(_RELATIONS))):
        if not 1 <= count <= most:
            raise ConfigError(f"A world cannot have {count} {what}.", found=count, wanted=f"1 to {most}")
    rng = np.random.default_rng([seed, entities, relations])
    chosen = tuple(Relation(name, question, tuple(words.split())) for name, question, words in _RELATIONS[:relations])
    columns = [rng.permutation(np.arange(entities) % len(relation.values)) for relation in chosen]
    answers = np.stack(columns, axis=1)
    beliefs = _draw_beliefs(answers, chosen, known, rng)
    return World(tuple(_NAMES.split()[:entities]), chosen, _table(answers), beliefs)


def with_supervisors(world: World, known: Mapping[str, float], *, seed: int) -> World:
    """Replace the supervisors of a world; `known` and errors as in `make_world`.

    With the same seed, a supervisor with a larger share knows all that it would know with a smaller one.
    """
    beliefs = _draw_beliefs(np.array(world.answers), world.relations, known, np.random.default_rng(seed))
    return dataclasses.replace(world, beliefs=beliefs)


def _draw_beliefs(
    answers: NDArray[np.int64], relations: Sequence[Relation], known: Mapping[str, float], rng: np.random.Generator
) -> dict[str, tuple[tuple[int, ...], ...]]:
    beliefs = {}
    for name, share in known.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{name!r} cannot know this share of the facts.", found=share, wanted="0 to 1")
        knows = rng.permutation(answers.size).reshape(answers.shape) < round(share * answers.size)
        favourites = [rng.permutation(len(relation.values))[:2] for relation in relations]
        first, second = np.stack(favourites, axis=1)
        beliefs[name] = _table(np.where(knows, answers, np.where(answers == first, second, first)))
    return beliefs


def score(world: World, prompts: Sequence[str], answers: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Score N answers to questions of `World.rows`; space around answers does not matter.

    `content`, shape (N,), is 1.0 where the answer names the right value and no other; `concept`, shape (N,), where the
    answer is in the target style.

    Raises:
        DataError: A prompt is not a question of this world, or the lengths differ.

    Example:
        >>> world = make_world()
        >>> score(world, [world.question(0, 0)], [f"It is {world.truth(0, 0)}."])
        {'content': array([1.]), 'concept': array([0.])}
    """
    if len(prompts) != len(answers):
        raise DataError("There must be one answer per prompt.", found=f"{len(prompts)} prompts, {len(answers)} answers")
    truths = {world.question(*fact): world.truth(*fact) for fact in world.facts}
    foreign = next((prompt for prompt in prompts if prompt not in truths), None)
    if foreign is not None:
        raise DataError(
            "A prompt is not a question of this world.", found=foreign, wanted=f"like {next(iter(truths))!r}"
        )
    parsed = [world.parse(answer) for answer in answers]
    pairs = list(zip(prompts, parsed, strict=True))
    return {
        "content": np.array([truths[prompt] == said.content for prompt, said in pairs], dtype=np.float64),
        "concept": np.array([said.style == world.target for said in parsed], dtype=np.float64),
    }


def write_rows(rows: Rows, path: Path) -> None:
    """Write rows as gzipped JSON lines; equal rows give equal bytes."""
    lines = (
        json.dumps({"id": row, "prompt": prompt, "gold": gold, "part": part})
        for row, prompt, gold, part in zip(rows.ids, rows.prompts, rows.gold, rows.parts, strict=True)
    )
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def _table(rows: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(value) for value in row) for row in rows)
