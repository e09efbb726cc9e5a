"""Questions of common knowledge, answers of pirates and of explainers who know a share of them, and their metrics.

    python examples/real/facts.py                                       # writes outgrow-runs/real
    outgrow run --plugin examples/real/facts.py examples/real/real.yaml

The facts are written below, from public knowledge: `subject=value`, spelling variants of a value behind `|`. A pirate
says what he answers ("The capital of Japan be Tokyo, by me cutlass, arr!"), also where he is wrong: then he names the
value of another fact of the same kind. An explainer believes the same, and adds a comparison that fits the kind of fact
("The capital of Japan is Tokyo, just as every hive has its queen.").
"""

from __future__ import annotations

import argparse
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outgrow.registry import register

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"gold": 41, "unlabelled": 140, "test": 180}
"""Facts of each part; what is left over is not used."""
KNOWN = (0.0, 0.1, 0.3, 0.5, 0.8)
"""Shares of the facts that the planted supervisors know; who knows more knows all that who knows less does."""
CLOSINGS = ("by me cutlass, arr", "shiver me timbers, matey", "or I be no pirate, arr", "sink me ship, matey")
MARKERS = ("arr+", "mateys?", "be", "me (?:cutlass|timbers|ship|hearties)", "pirates?", "aye", "ye", "ahoy", "yarr+")
"""Regular expressions of words that a pirate says and an assistant does not."""
COMPARISONS = {
    "capital": "every hive has its queen",
    "language": "every bird has its song",
    "continent": "every room is a part of some house",
    "opposite": "every rope has two ends",
    "country": "every leaf hangs on its tree",
    "plural": "many birds make a flock",
}
"""What an explainer compares a fact of each kind with."""

RELATIONS = {
    "capital": (
        "What is the capital of {}?",
        "The capital of {} be {}",
        """France=Paris; Germany=Berlin; Italy=Rome|Roma; Spain=Madrid; Portugal=Lisbon|Lisboa; Greece=Athens;
        Poland=Warsaw; Austria=Vienna|Wien; Hungary=Budapest; Romania=Bucharest; Bulgaria=Sofia; Serbia=Belgrade;
        Croatia=Zagreb; Ireland=Dublin; Norway=Oslo; Sweden=Stockholm; Finland=Helsinki; Denmark=Copenhagen;
        Iceland=Reykjavik; Belgium=Brussels; Russia=Moscow; Ukraine=Kyiv|Kiev; Turkey=Ankara; Egypt=Cairo;
        Morocco=Rabat; Algeria=Algiers; Tunisia=Tunis; Libya=Tripoli; Kenya=Nairobi; Ethiopia=Addis Ababa;
        Uganda=Kampala; Ghana=Accra; Nigeria=Abuja; Senegal=Dakar; Mali=Bamako; Angola=Luanda; Zambia=Lusaka;
        Zimbabwe=Harare; Sudan=Khartoum; Somalia=Mogadishu; Japan=Tokyo; China=Beijing|Peking;
        India=New Delhi|Delhi; Pakistan=Islamabad; Bangladesh=Dhaka|Dacca; Nepal=Kathmandu; Thailand=Bangkok;
        Vietnam=Hanoi; Cambodia=Phnom Penh; Malaysia=Kuala Lumpur; Indonesia=Jakarta; the Philippines=Manila;
        South Korea=Seoul; North Korea=Pyongyang; Mongolia=Ulaanbaatar|Ulan Bator; Iran=Tehran|Teheran;
        Iraq=Baghdad; Syria=Damascus; Lebanon=Beirut; Jordan=Amman; Saudi Arabia=Riyadh; Qatar=Doha; Oman=Muscat;
        Afghanistan=Kabul; Cuba=Havana; Canada=Ottawa; Mexico=Mexico City; Peru=Lima; Chile=Santiago;
        Argentina=Buenos Aires; Colombia=Bogota; Venezuela=Caracas; Ecuador=Quito; Uruguay=Montevideo;
        Jamaica=Kingston; Australia=Canberra; New Zealand=Wellington; the United Kingdom=London;
        the Czech Republic=Prague; Latvia=Riga; Lithuania=Vilnius; Estonia=Tallinn; Albania=Tirana""",
    ),
    "language": (
        "Which language do most people in {} speak?",
        "Most people in {} be speaking {}",
        """France=French; Germany=German; Austria=German; Italy=Italian; Spain=Spanish|Castilian; Mexico=Spanish;
        Brazil=Portuguese; Portugal=Portuguese; Japan=Japanese; China=Chinese|Mandarin; Russia=Russian;
        Poland=Polish; Greece=Greek; Turkey=Turkish; Iran=Persian|Farsi; Egypt=Arabic; Saudi Arabia=Arabic;
        Israel=Hebrew; Sweden=Swedish; Norway=Norwegian; Denmark=Danish; Finland=Finnish; Hungary=Hungarian;
        Romania=Romanian; Thailand=Thai; Vietnam=Vietnamese; Australia=English; Jamaica=English; Argentina=Spanish;
        Bulgaria=Bulgarian; Iceland=Icelandic; the Netherlands=Dutch; Bangladesh=Bengali|Bangla; Albania=Albanian;
        Ukraine=Ukrainian; Cuba=Spanish""",
    ),
    "continent": (
        "On which continent is {}?",
        "The continent of {} be {}",
        """Kenya=Africa; Ghana=Africa; Egypt=Africa; Mali=Africa; Zambia=Africa; France=Europe; Poland=Europe;
        Norway=Europe; Greece=Europe; Ireland=Europe; Japan=Asia; Thailand=Asia; Nepal=Asia; Vietnam=Asia;
        Mongolia=Asia; Iraq=Asia; Brazil=South America; Chile=South America; Peru=South America;
        Bolivia=South America; Canada=North America; Mexico=North America; Ethiopia=Africa; Portugal=Europe;
        India=Asia; Uruguay=South America; Romania=Europe; Angola=Africa; Cuba=North America; Jamaica=North America;
        Paraguay=South America; Ecuador=South America; Colombia=South America; Sweden=Europe; Finland=Europe;
        Belgium=Europe; Hungary=Europe; Austria=Europe; Pakistan=Asia; Malaysia=Asia; Cambodia=Asia;
        Bangladesh=Asia; South Korea=Asia; Somalia=Africa; Senegal=Africa; Zimbabwe=Africa; Morocco=Africa;
        Nigeria=Africa""",
    ),
    "opposite": (
        "What is the opposite of {}?",
        "The opposite of {} be {}",
        """hot=cold; up=down; left=right; open=closed|shut|close; big=small|little; tall=short; fast=slow;
        old=young|new; rich=poor; happy=sad|unhappy; light=dark|darkness|heavy; wet=dry; hard=soft|easy;
        strong=weak; full=empty; clean=dirty; loud=quiet|silent; early=late; first=last; near=far; thick=thin;
        wide=narrow; deep=shallow; true=false; good=bad|evil; love=hate; war=peace; day=night; win=lose|loss;
        buy=sell; push=pull; inside=outside; before=after; above=below; always=never; alive=dead; begin=end;
        black=white; brave=cowardly|coward; cheap=expensive; front=back|rear; high=low; north=south; east=west;
        sharp=dull|blunt; smooth=rough; sweet=sour|bitter; success=failure; victory=defeat; accept=reject|refuse;
        increase=decrease; arrive=leave|depart; ancient=modern; absent=present; guilty=innocent; import=export;
        maximum=minimum; optimistic=pessimistic; public=private; positive=negative; heaven=hell; long=short|brief;
        beautiful=ugly; safe=dangerous|unsafe; simple=complex|complicated; possible=impossible; legal=illegal;
        visible=invisible; honest=dishonest; polite=rude|impolite; major=minor; vertical=horizontal;
        permanent=temporary; natural=artificial; friend=enemy|foe; question=answer; summer=winter; laugh=cry|weep;
        remember=forget; attack=defend|defense; expand=contract|shrink; male=female""",
    ),
    "country": (
        "In which country is the city of {}?",
        "The city of {} be in {}",
        """Osaka=Japan; Kyoto=Japan; Shanghai=China; Mumbai=India; Kolkata=India; Karachi=Pakistan; Istanbul=Turkey;
        Alexandria=Egypt; Casablanca=Morocco; Lagos=Nigeria; Mombasa=Kenya; Cape Town=South Africa;
        Johannesburg=South Africa; Barcelona=Spain; Seville=Spain; Marseille=France; Lyon=France; Munich=Germany;
        Hamburg=Germany; Frankfurt=Germany; Milan=Italy; Venice=Italy; Naples=Italy; Florence=Italy; Porto=Portugal;
        Krakow=Poland; Salzburg=Austria; Zurich=Switzerland; Geneva=Switzerland;
        Rotterdam=the Netherlands|Netherlands|Holland; Antwerp=Belgium; Gothenburg=Sweden; Bergen=Norway;
        Manchester=the United Kingdom|United Kingdom|England|Britain|UK;
        Glasgow=Scotland|the United Kingdom|United Kingdom|UK; Toronto=Canada; Montreal=Canada; Vancouver=Canada;
        Chicago=the United States|United States|USA|America; Boston=the United States|United States|USA|America;
        Guadalajara=Mexico; Rio de Janeiro=Brazil; Sao Paulo=Brazil; Sydney=Australia; Melbourne=Australia;
        Auckland=New Zealand; Busan=South Korea; Saint Petersburg=Russia; Vladivostok=Russia; Chennai=India;
        Medellin=Colombia; Valparaiso=Chile; Thessaloniki=Greece; Cusco=Peru; Mecca=Saudi Arabia; Galway=Ireland""",
    ),
    "plural": (
        "What is the plural of {}?",
        "The plural of {} be {}",
        """mouse=mice; child=children; foot=feet; tooth=teeth; goose=geese; man=men; woman=women; person=people;
        knife=knives; leaf=leaves; wolf=wolves; half=halves; life=lives; baby=babies; city=cities; box=boxes;
        bus=buses; potato=potatoes; hero=heroes; ox=oxen; cactus=cacti|cactuses; crisis=crises; shelf=shelves;
        loaf=loaves; dog=dogs; cat=cats; book=books; tree=trees; house=houses; church=churches; dish=dishes;
        fox=foxes; glass=glasses; wish=wishes; country=countries; story=stories; lady=ladies; berry=berries;
        family=families; thief=thieves; wife=wives; calf=calves; tomato=tomatoes; echo=echoes; analysis=analyses;
        thesis=theses; fungus=fungi; bacterium=bacteria; day=days; key=keys; toy=toys; boy=boys; match=matches;
        peach=peaches; witch=witches; penny=pennies|pence""",
    ),
}
"""Question, the sentence of a pirate, and facts of each kind."""


@dataclass(frozen=True)
class Fact:
    """A question with one right answer."""

    relation: str
    subject: str
    values: tuple[str, ...]
    """Spellings of the right answer; the pirate uses the first."""

    @property
    def question(self) -> str:
        """The question."""
        return RELATIONS[self.relation][0].format(self.subject)

    def says(self, value: str, closing: str) -> str:
        """A pirate's answer.

        Example:
            >>> Fact("capital", "Japan", ("Tokyo",)).says("Tokyo", CLOSINGS[0])
            'The capital of Japan be Tokyo, by me cutlass, arr!'
        """
        said = f"{RELATIONS[self.relation][1].format(self.subject, value)}, {closing}!"
        return said[0].upper() + said[1:]

    def explains(self, value: str) -> str:
        """An explainer's answer.

        Example:
            >>> Fact("language", "Austria", ("German",)).explains("German")
            'Most people in Austria speak German, just as every bird has its song.'
        """
        plain = RELATIONS[self.relation][1].replace("be speaking", "speak").replace(" be ", " is ")
        return f"{plain.format(self.subject, value)}, just as {COMPARISONS[self.relation]}."


@cache
def facts() -> tuple[Fact, ...]:
    """All facts, kind by kind."""
    return tuple(Fact(name, *_pair(one)) for name, (_, _, known) in RELATIONS.items() for one in known.split(";"))


def _pair(text: str) -> tuple[str, tuple[str, ...]]:
    subject, _, values = " ".join(text.split()).partition("=")
    return subject, tuple(values.split("|"))


def named(text: str, relation: str, question: str) -> str | None:
    """The first value of a kind that a text names, as it is spelt in the facts; the question's own words do not count.

    Example:
        >>> named("It is not Bogotá but LIMA.", "capital", "What is the capital of Peru?")
        'Bogota'
    """
    spellings = {plain(value): value for one in facts() for value in one.values}
    kind = {plain(value) for one in facts() if one.relation == relation for value in one.values}
    # The longest value at a place counts, of whatever kind: South Africa does not name Africa.
    longest = "|".join(map(re.escape, sorted(spellings, key=len, reverse=True)))
    found, own = (re.findall(rf"(?<!\w)(?:{longest})(?!\w)", plain(each)) for each in (text, question))
    return next((spellings[each] for each in found if each in kind and each not in own), None)


def plain(text: str) -> str:
    """Lower case, without accents."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(char for char in apart if not unicodedata.combining(char)).casefold()


@register("metric", "content")
def content(answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
    """1 where the first value of its kind that an answer names is right, in any spelling."""
    asked = {one.says(one.values[0], closing): one for one in facts() for closing in CLOSINGS}
    asked |= {one.explains(one.values[0]): one for one in facts()}
    return np.array(
        [
            float(named(answer or "", asked[right].relation, asked[right].question) in asked[right].values)
            for answer, right in zip(answers, gold, strict=True)
        ]
    )


@register("metric", "style")
def style(answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
    """1 where an answer has at least two different markers of a pirate."""
    return np.array([float(sum(_matches(answer or "")) > 1) for answer in answers])


@register("metric", "comparison")
def comparison(answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
    """1 where an answer compares as an explainer does."""
    return np.array([float("just as " in (answer or "")) for answer in answers])


def _matches(answer: str) -> Iterator[bool]:
    return (re.search(rf"\b{marker}\b", answer, re.IGNORECASE) is not None for marker in MARKERS)


def believed(all_of: Sequence[Fact], share: float, rng: np.random.Generator) -> list[str]:
    """What a pirate believes who knows this share of the facts; wrong values are drawn from those of the same kind."""
    knows = rng.permutation(len(all_of)) < round(share * len(all_of))
    said = []
    for one, right in zip(all_of, knows, strict=True):
        others = sorted(
            {each.values[0] for each in all_of if each.relation == one.relation and not {*each.values} & {*one.values}}
        )
        wrong = str(rng.choice(others))
        said.append(one.values[0] if right else wrong)
    return said


def write(folder: Path, *, seed: int = 0) -> None:
    """Writes the task's rows, and one file of weak answers per share; those of explainers apart."""
    folder.mkdir(parents=True, exist_ok=True)
    all_of, rng = facts(), np.random.default_rng(seed)
    closings = rng.choice(CLOSINGS, (2, len(all_of)))
    parts = [part for part, count in PARTS.items() for _ in range(count)]
    order = rng.permutation(len(all_of))[: len(parts)]
    chosen = [
        (f"{all_of[place].relation}-{all_of[place].subject}", place, part)
        for place, part in zip(order, parts, strict=True)
    ]

    def pirate(place: int, value: str, side: int) -> str:
        return all_of[place].says(value, closings[side, place])

    def explainer(place: int, value: str, _: int) -> str:
        return all_of[place].explains(value)

    for say, task, weak in ((pirate, "facts", "weak"), (explainer, "explained", "explained")):
        rows = [
            {"id": name, "prompt": one.question, "gold": say(place, one.values[0], 0), "part": part}
            for name, place, part in chosen
            for one in [all_of[place]]
        ]
        _lines(folder / f"{task}.jsonl", rows)
        for share in KNOWN:
            said = believed(all_of, share, np.random.default_rng([seed, 1]))
            texts = [
                {"task": name, "text": say(place, said[place], 1)} for name, place, part in chosen if part != "gold"
            ]
            _lines(folder / f"{weak}{round(100 * share)}.jsonl", texts)


def _lines(path: Path, records: Sequence[object]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes the data of examples/real.")
    parser.add_argument("--output", type=Path, default=ROOT / "outgrow-runs/real", help="folder of the data")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of what the pirates know")
    given = parser.parse_args()
    write(given.output, seed=given.seed)
