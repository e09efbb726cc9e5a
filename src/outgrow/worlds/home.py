"""The synthetic task `home`: voice commands and the slots they fill, drawn from a small grammar.

```
could you switch off the desk lamp in the living room at half past six
                         └──┬────┘        └────┬────┘    └─────┬─────┘
                         device              room            time
```

Types may repeat (`the oven and the radio`), fillers may have several words, and some commands fill no slot.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from outgrow.errors import ConfigError, StoreError
from outgrow.evaluate.slu import Slot

FILLERS = {
    "amount": "ten percent|half power|twenty degrees|full power|thirty percent|sixteen degrees|the minimum|two notches",
    "colour": "red|deep blue|green|warm white|purple|orange|pale pink|yellow",
    "day": "today|tomorrow|on monday|next friday|this weekend|on the third of may|tonight|every day",
    "device": "lamp|desk lamp|heater|radio|oven|robot vacuum|ceiling fan|blinds|coffee machine|television",
    "music": "jazz|some old blues|the evening news|bach|folk songs|my running playlist|piano music|techno",
    "person": "anna|my sister|doctor novak|omar|the neighbours|uncle ben|grandma|li wei",
    "room": "kitchen|living room|attic|bathroom|guest room|hall|garage|upstairs bedroom",
    "time": "noon|half past six|ten am|seven in the evening|midnight|quarter to nine|five pm|sunrise",
}
"""Fillers of every slot type, separated by bars. None occurs in a template, in another type or inside another one."""

TEMPLATES = (
    "turn on the {device}",
    "turn on the {device} in the {room}",
    "switch off the {device} in the {room} at {time}",
    "switch off the {device} and the {device}",
    "switch off the {device} in the {room} and the {device} in the {room}",
    "set the {device} to {amount}",
    "set the {device} in the {room} to {amount} {day}",
    "make the {room} {colour}",
    "paint the walls of the {room} with {colour} light at {time}",
    "play {music}",
    "play {music} in the {room}",
    "start {day} with {music} and end with {music}",
    "wake me at {time}",
    "wake me {day} at {time} with {music}",
    "call {person}",
    "call {person} {day} at {time}",
    "tell {person} and {person} that dinner is at {time}",
    "is the {device} in the {room} still running",
    "what will it be like outside {day}",
    "what did you say",
    "never mind",
    "who are you",
)

OPENINGS = ("", "please ", "could you ", "hey house ")
ENDINGS = ("", " please", " right away", " thank you")
"""Text before and after a command, without slots."""

SCHEMA = tuple(FILLERS)
"""Names of all slot types, sorted."""

_VALUES = {name: tuple(values.split("|")) for name, values in FILLERS.items()}
_PLACE = re.compile(r"\{(\w+)\}")
_WIDTHS = {"words": 64, "bytes": 96}
MOST = 5000
"""Most distinct commands: far fewer than the grammar has, so that drawing them is quick."""


@dataclass(frozen=True)
class Command:
    """A command and its slots."""

    text: str
    """In lower case."""
    slots: tuple[Slot, ...]
    """In the order of the text."""


def draw(random: np.random.Generator) -> Command:
    """Draw a command: opening, template, fillers and ending, each uniformly."""
    opening, template, ending = (_one_of(kind, random) for kind in (OPENINGS, TEMPLATES, ENDINGS))
    slots: list[Slot] = []

    def fill(place: re.Match[str]) -> str:
        filler = _one_of(_VALUES[place[1]], random)
        slots.append({"type": place[1], "filler": filler})
        return filler

    text = _PLACE.sub(fill, template)
    return Command(f"{opening}{text}{ending}", tuple(slots))


def draw_different(count: int, *, seed: int = 0) -> list[Command]:
    """Draw `count` distinct commands, at most `MOST`; the first ones do not depend on `count`."""
    if not 0 < count <= MOST:
        raise ConfigError(f"The world cannot have {count} commands.", wanted=f"1 to {MOST}")
    random = np.random.default_rng(seed)
    found: dict[str, Command] = {}
    while len(found) < count:
        command = draw(random)
        found.setdefault(command.text, command)
    return list(found.values())


def build(folder: str | Path, *, seed: int = 0, train: int = 1000, test: int = 200) -> Path:
    """Write `train.jsonl.gz` and `test.jsonl.gz` for `task: {name: home, path: …}`; no command is in both.

    One row: `{"text": "play bach", "slots": [{"type": "music", "filler": "bach"}]}`. `train` commands are for the gold
    and the unlabelled part, `test` for the test part. Equal arguments give equal bytes. Return the folder.

    Raises:
        ConfigError: More than `MOST` commands.
        StoreError: The folder cannot be written.
    """
    commands = draw_different(train + test, seed=seed)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, own in (("train", commands[:train]), ("test", commands[train:])):
            rows = "".join(json.dumps({"text": one.text, "slots": one.slots}) + "\n" for one in own)
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(rows.encode(), mtime=0))
    except OSError as error:
        raise StoreError(f"The world cannot be written to {folder}.", found=str(error)) from error
    return folder


def build_models(folder: str | Path, *, seed: int = 0) -> dict[str, Path]:
    """Make small untrained models, to be trained as supervisors and students; return their folders by name.

    Their tokenizers are trained on commands and answers of the task: `words` (0.12M parameters) and `bytes`, byte pairs
    (0.31M).

    Raises:
        StoreError: The folder cannot be written.
    """
    from transformers.utils import logging

    from outgrow.evaluate.slu import write_slots
    from outgrow.worlds.facts_models import make_tokenizer, new_model

    logging.disable_progress_bar()
    corpus = [f"{command.text}\n {write_slots(command.slots)}" for command in draw_different(1000, seed=seed)]
    made = {}
    for kind, width in _WIDTHS.items():
        tokenizer = make_tokenizer(kind, corpus)
        network = new_model(tokenizer, width=width, layers=2, seed=seed)
        made[kind] = Path(folder) / kind
        try:
            network.save_pretrained(made[kind])
            tokenizer.save_pretrained(made[kind])
        except OSError as error:
            raise StoreError(f"The model cannot be written to {made[kind]}.", found=str(error)) from error
    return made


def _one_of(values: Sequence[str], random: np.random.Generator) -> str:
    return values[int(random.integers(len(values)))]
