"""Small samples of made-up data: messages to a library, what people say of them, replies, and questions."""

from __future__ import annotations

from typing import Any

import numpy as np

CHOICES = ("complaint", "question", "thanks")

_CLAUSES = {
    "complaint": "the {} is broken again|the {} has been closed for a week|about the {} nobody could answer me|"
    "the {} was dirty and loud|I waited an hour for the {}|the {} still does not work|I was charged twice for the {}|"
    "the {} is far too cold in the morning|why is the {} never ready on time?",
    "question": "when does the {} open on Sundays?|how do I book the {}?|is the {} free for students?|"
    "where can I find the {}, please?|do I need a card for the {}?|can I ask for the {} by phone?|"
    "who is in charge of the {}?|may children use the {}?|please tell me the price of the {}",
    "thanks": "thank you for the new {}|the {} is wonderful|I am very happy with the {}|"
    "your team made the {} so much better|what a pleasure to use the {}|the {} saved my week|"
    "my whole family loves the {}|please keep the {} just as it is|how quiet the {} is now, at last",
}
_THINGS = (
    "reading room|card reader|heating|printer|lift|lending desk|map room|children's corner|coffee machine|garden|"
    "music room|scanner|catalogue|bus to the library|lecture hall|newspaper shelf|study table|film evening|locker|"
    "language course|board game|audio book|bicycle stand|opening speech|members' card|quiet corner|atlas|projector"
)
_ENDINGS = (
    "|| Best wishes| See you soon| Thanks in advance| I will come again on Friday| Is that so hard?|"
    " I have been a member for ten years| My daughter writes this for me| It is the first time that I write"
)
_REPLIES = {
    "complaint": "I am sorry about the {}. We will look at it today.",
    "question": "Thank you for asking about the {}. The desk on the first floor will tell you.",
    "thanks": "How kind of you. We are glad that you like the {}.",
}
_ALIVE = "oak|sparrow|trout|moss|beetle|horse|mushroom|daisy|whale|fern|spider|cactus|frog|yeast|goose|coral|bee|tulip"
_LIFELESS = (
    "hammer|river|cloud|teapot|granite|lantern|violin|glacier|button|ladder|compass|candle|anchor|mirror|bicycle|"
    "volcano|umbrella|coin|bridge|rainbow|pencil|window|kettle|engine"
)
_ASKED = "{}: which of these is alive?|{}: which one is a living thing?|{}: which of them grows and breathes?"

_BOTH = 0.1
"""Share of messages with a clause of another kind in front: the last clause counts."""
_WORKERS = {"ana": (0.85, 0.6), "bo": (0.75, 0.8), "chen": (0.7, 0.7), "dua": (0.65, 0.9), "eli": (0.4, 0.8)}
"""Of each worker the probability of a right vote, and the share of messages that they read."""


def messages(count: int, *, seed: int = 0) -> list[dict[str, str]]:
    """Return messages: `id`, `text`, `label` (one of `CHOICES`) and the `thing` that it is about; at most 750.

    Example:
        >>> messages(1)[0]["label"] in CHOICES
        True
    """
    rng = np.random.default_rng(seed)
    pairs = {
        label: rng.permutation([(clause, thing) for clause in clauses.split("|") for thing in _THINGS.split("|")])
        for label, clauses in _CLAUSES.items()
    }
    found = []
    for index in range(count):
        label, text = CHOICES[index % len(CHOICES)], ""
        clause, thing = pairs[label][index // len(CHOICES)]
        if rng.random() < _BOTH:
            other = CHOICES[(index + int(rng.integers(1, 3))) % len(CHOICES)]
            text = _one(rng, _CLAUSES[other]).format(_one(rng, _THINGS)).rstrip("?") + ", but "
        text += clause.format(thing)
        text = text[0].upper() + text[1:] + "." * (not text.endswith("?")) + _one(rng, _ENDINGS)
        found.append({"id": f"m{index}", "text": text, "label": label, "thing": str(thing)})
    return found


def votes(rows: list[dict[str, str]], *, seed: int = 1) -> list[dict[str, str]]:
    """Return votes of five people on messages: `task` (the message's id), `worker` and `label`.

    They are right with different probabilities and read different shares of the messages; a sixth one, `copy`, mostly
    repeats what the first of them said.
    """
    rng = np.random.default_rng(seed)
    cast = []
    for row in rows:
        own = []
        for worker, (right, share) in _WORKERS.items():
            if rng.random() < share:
                others = [choice for choice in CHOICES if choice != row["label"]]
                label = row["label"] if rng.random() < right else others[int(rng.integers(2))]
                own.append({"task": row["id"], "worker": worker, "label": label})
        if own and rng.random() < 0.8:
            own.append({**own[0], "worker": "copy"})
        cast += own
    return cast


def replies(rows: list[dict[str, str]], *, right: float = 0.8, seed: int = 2) -> list[dict[str, str]]:
    """Return a reply to each message, `task` and `text`; some fit a message of another kind."""
    rng = np.random.default_rng(seed)
    kinds = [row["label"] if rng.random() < right else CHOICES[int(rng.integers(3))] for row in rows]
    return [
        {"task": row["id"], "text": _REPLIES[kind].format(row["thing"])} for row, kind in zip(rows, kinds, strict=True)
    ]


def questions(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return questions with one right answer and three wrong ones, in the columns of SciQ."""
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:
        right = _one(rng, _ALIVE)
        wrong = rng.choice(_LIFELESS.split("|"), size=3, replace=False).tolist()
        listed = ", ".join(rng.permutation([right, *wrong]).tolist())
        question = _one(rng, _ASKED).format(listed)
        others = {f"distractor{number}": each for number, each in enumerate(wrong, start=1)}
        found.setdefault(question, {"question": question, "correct_answer": right, **others})
    return list(found.values())


def _one(rng: np.random.Generator, listed: str) -> str:
    items = listed.split("|")
    return items[int(rng.integers(len(items)))]
