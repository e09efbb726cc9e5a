from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from outgrow.config import Split
from outgrow.errors import ConfigError, DataError
from outgrow.labels import PARTS, Rows
from outgrow.tasks.split import assign_parts, check_parts, normalise, shared_stems

WORD = st.sampled_from(["red", "green", "blue", "sky", "sea", "sun"])
PROMPT = st.tuples(
    st.lists(WORD, min_size=1, max_size=3),
    st.sampled_from([str.upper, str.lower, str.title]),
    st.sampled_from(["", "!", " ?", "  "]),
).map(lambda made: made[1](" ".join(made[0])) + made[2])
PROMPTS = st.lists(PROMPT, min_size=12, max_size=60)
SEED = st.integers(0, 1000)


@given(PROMPTS, SEED)
def test_prompts_that_are_the_same_but_for_case_and_punctuation_stay_in_one_part(prompts: list[str], seed: int) -> None:
    parts = assign_parts(prompts, [0] * len(prompts), Split(seed=seed))
    homes: dict[str, set[object]] = {}
    for prompt, part in zip(prompts, parts, strict=True):
        homes.setdefault(normalise(prompt), set()).add(part)
    assert all(len(found) == 1 for found in homes.values())


@given(st.lists(st.integers(0, 9), min_size=12, max_size=60), SEED)
def test_groups_stay_in_one_part(groups: list[int], seed: int) -> None:
    prompts = [f"row {index}" for index in range(len(groups))]
    parts = assign_parts(prompts, [0] * len(groups), Split(seed=seed), groups=groups)
    for group in set(groups):
        assert len({part for part, own in zip(parts, groups, strict=True) if own == group}) == 1


def test_rows_linked_through_a_prompt_and_a_group_stay_in_one_part() -> None:
    prompts = [f"row {index}" for index in range(40)]
    prompts[20] = prompts[0]
    groups = [index // 2 for index in range(40)]  # 0 with 1, 20 with 21, hence all four together
    for seed in range(20):
        parts = assign_parts(prompts, [0] * 40, Split(seed=seed), groups=groups)
        assert len({parts[0], parts[1], parts[20], parts[21]}) == 1


@given(PROMPTS, SEED, st.tuples(*[st.integers(1, 8)] * 4))
def test_parts_are_of_the_size_asked_for_within_one_group(
    prompts: list[str], seed: int, shares: tuple[int, int, int, int]
) -> None:
    scale = max(sum(shares), 10)
    split = Split(**{part: share / scale for part, share in zip(PARTS, shares, strict=True)}, seed=seed)
    sizes = Counter(assign_parts(prompts, [0] * len(prompts), split))
    largest = max(Counter(map(normalise, prompts)).values())
    for part, share in zip(PARTS, shares, strict=True):
        wanted = share / scale * len(prompts)
        assert wanted - largest - 1 <= sizes[part] <= wanted + 0.5


@given(PROMPTS, SEED)
def test_the_same_seed_deals_the_same_way(prompts: list[str], seed: int) -> None:
    gold = [0] * len(prompts)
    assert assign_parts(prompts, gold, Split(seed=seed)) == assign_parts(prompts, gold, Split(seed=seed))


@given(PROMPTS, st.data(), SEED)
def test_parts_are_dealt_to_clusters_in_the_order_of_their_first_rows(
    prompts: list[str], data: st.DataObject, seed: int
) -> None:
    groups = data.draw(st.none() | st.lists(st.integers(0, 20), min_size=len(prompts), max_size=len(prompts)))
    cluster = [*range(len(prompts))]
    for one, other in combinations(range(len(prompts)), 2):
        if normalise(prompts[one]) == normalise(prompts[other]) or (groups and groups[one] == groups[other]):
            low, high = sorted((cluster[one], cluster[other]))
            cluster = [low if own == high else own for own in cluster]
    names = {own: f"cluster {place}" for place, own in enumerate(dict.fromkeys(cluster))}
    plain = assign_parts([names[own] for own in cluster], [0] * len(prompts), Split(seed=seed))
    assert assign_parts(prompts, [0] * len(prompts), Split(seed=seed), groups=groups) == plain


def test_another_seed_deals_another_way() -> None:
    prompts = [f"row {index}" for index in range(100)]
    assert assign_parts(prompts, [0] * 100, Split(seed=0)) != assign_parts(prompts, [0] * 100, Split(seed=1))


@given(st.lists(st.booleans(), min_size=20, max_size=60), SEED)
def test_rows_without_gold_are_never_gold_or_test_rows(known: list[bool], seed: int) -> None:
    assume(sum(known) > 0)
    gold = [0 if one else None for one in known]
    parts = assign_parts([f"row {index}" for index in range(len(known))], gold, Split(seed=seed))
    assert not any(part in ("gold", "test") for part, one in zip(parts, known, strict=True) if not one)


def test_only_rows_with_votes_are_judged_and_their_groups_stay_out_of_the_gold_part() -> None:
    groups = [index // 3 for index in range(90)]
    voted = [group < 15 and index % 3 != 0 for index, group in enumerate(groups)]
    prompts = [f"row {index}" for index in range(90)]
    parts = assign_parts(prompts, [0] * 90, Split(gold=20, unlabelled=15, test=10), groups=groups, voted=voted)
    assert Counter(part for part in parts if part)["gold"] in range(18, 21)
    for part, group, one in zip(parts, groups, voted, strict=True):
        assert part != "gold" or group >= 15
        assert part not in ("unlabelled", "test") or one


@pytest.mark.parametrize(("gold", "unlabelled", "test"), [(5, 5, 3), (0.5, 0.5, 0.2), (11, 0.0, 0.0)])
def test_parts_that_ask_for_more_rows_than_there_are_are_refused(gold: float, unlabelled: float, test: float) -> None:
    split = Split(gold=gold, unlabelled=unlabelled, test=test)
    with pytest.raises(DataError, match=r"more rows than there are(.|\n)*found:  10 rows"):
        assign_parts([f"row {index}" for index in range(10)], [0] * 10, split)


def test_fractions_that_round_up_are_no_mistake() -> None:
    parts = assign_parts([f"row {index}" for index in range(7)], [0] * 7, Split(gold=0.5, unlabelled=0.25, test=0.25))
    assert None not in parts


def test_a_whole_number_is_a_count() -> None:
    parts = assign_parts([f"row {index}" for index in range(10)], [0] * 10, Split(gold=1, unlabelled=3, test=2))
    assert Counter(part for part in parts if part) == {"gold": 1, "unlabelled": 3, "test": 2}


def test_the_fraction_one_is_all_that_the_other_parts_leave_and_a_whole_one_is_a_row() -> None:
    prompts, gold = [f"row {index}" for index in range(10)], [0] * 4 + [None] * 6
    all_left = assign_parts(prompts, gold, Split(gold=0, unlabelled=1.0, test=0.3))
    assert Counter(all_left) == {"unlabelled": 7, "test": 3}
    one = assign_parts(prompts, gold, Split(gold=0, unlabelled=1, test=0.3))
    assert Counter(part for part in one if part) == {"unlabelled": 1, "test": 3}
    with pytest.raises(DataError, match="more rows than there are"):
        assign_parts(prompts, gold, Split(gold=1.0, unlabelled=1.0, test=0.3))


def test_test_rows_that_begin_as_a_row_of_another_part_are_counted() -> None:
    question = "which planet of the solar system has the longest day"
    prompts = [
        f"Q: {question} A: Venus",
        f"Q: {question} A: Mars",
        "Q: what is a mole A: a unit",
        "Q: what is pH A: acid",
    ]
    for parts, expected in ((["gold", "test", "test", "gold"], 1), (["test", "test", "gold", "gold"], 0)):
        assert shared_stems(given_parts(prompts, parts, [0, 1, 0, 1])) == expected
    same = [f"Decide whether the following review is a positive one: {word}" for word in ("fine", "dull")]
    assert shared_stems(given_parts(same, ["gold", "test"], [0, 1])) == 0


@pytest.mark.parametrize("size", [-0.1, 1.5])
def test_a_part_that_is_neither_share_nor_count_is_refused(size: float) -> None:
    from outgrow.config import parse_config

    with pytest.raises(ConfigError, match=r"task.split.gold: a part is a fraction"):
        parse_config(
            {"task": {"path": "x", "split": {"gold": size}}, "supervisors": [{"votes": "v"}], "strong": {"model": "m"}}
        )


@pytest.mark.parametrize(
    ("one", "other"),
    [("What is  H2O ?", "what is h2o"), ("Straße", "STRASSE"), ("it 's fine .", "It's fine"), ("a\u00a0b", "a b")],
)
def test_prompts_that_differ_in_case_space_or_punctuation_are_the_same(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("कि", "की"), ("great 😀", "great 😡"), ("is 2 + 3 five", "is 2 = 3 five"), ("???", "!!!"), ("5 €", "5 $")],
)
def test_prompts_that_differ_in_vowel_signs_or_symbols_are_not_the_same(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def given_parts(prompts: list[str], parts: list[str], gold: list[int | None]) -> Rows:
    return Rows(tuple(map(str, range(len(prompts)))), tuple(prompts), tuple(parts), tuple(gold), ("no", "yes"))


def test_parts_that_share_nothing_pass() -> None:
    check_parts(given_parts(["a", "b", "c"], ["gold", "unlabelled", "test"], [0, None, 1]), where="x.csv")


@pytest.mark.parametrize("copy", ["b", "B!", " b "])
def test_a_prompt_in_two_parts_is_refused_and_shown(copy: str) -> None:
    rows = given_parts(["a", "b", copy], ["gold", "unlabelled", "test"], [0, 1, 1])
    with pytest.raises(DataError, match=r"same prompt is in the unlabelled and the test part(.|\n)*found: "):
        check_parts(rows, where="x.csv")


def test_a_prompt_twice_in_one_part_passes() -> None:
    check_parts(given_parts(["a", "b", "b", "c"], ["gold", "test", "test", "unlabelled"], [0, 1, 0, 1]), where="x.csv")


@pytest.mark.parametrize("empty", ["unlabelled", "test"])
def test_an_empty_part_is_refused_and_all_are_counted(empty: str) -> None:
    parts = [part for part in PARTS if part != empty]
    with pytest.raises(DataError, match=rf"The {empty} part of x.csv is empty(.|\n)*{empty}: 0"):
        check_parts(given_parts(["a", "b", "c"], parts, [0, 1, 1]), where="x.csv")


@pytest.mark.parametrize("part", ["gold", "validation", "test"])
def test_a_row_without_gold_where_it_is_needed_is_refused(part: str) -> None:
    gold = [None if own == part else 1 for own in PARTS]
    with pytest.raises(DataError, match=f"1 rows of the {part} part"):
        check_parts(given_parts(["a", "b", "c", "d"], list(PARTS), gold), where="x.csv")


@given(PROMPTS, st.data(), SEED)
def test_parts_are_those_of_a_split_cluster_by_cluster(prompts: list[str], data: st.DataObject, seed: int) -> None:
    flags = st.lists(st.booleans(), min_size=len(prompts), max_size=len(prompts))
    known, voted = data.draw(flags), data.draw(st.none() | flags)
    groups = data.draw(st.none() | st.lists(st.integers(0, 9), min_size=len(prompts), max_size=len(prompts)))
    split = Split(gold=0.3, unlabelled=0.3, test=0.2, validation=0.1, seed=seed)
    gold = [0 if own else None for own in known]
    assert assign_parts(prompts, gold, split, groups=groups, voted=voted) == _one_by_one(
        prompts, known, voted or [True] * len(prompts), groups, seed, leaves_voted=voted is not None
    )


def _one_by_one(
    prompts: list[str], known: list[bool], covered: list[bool], groups: list[int] | None, seed: int, leaves_voted: bool
) -> list[str | None]:
    cluster = [*range(len(prompts))]
    for one, prompt in enumerate(prompts):
        for other in range(one):
            same = normalise(prompts[other]) == normalise(prompt) or (groups and groups[one] == groups[other])
            if same and cluster[one] != cluster[other]:
                low, high = sorted((cluster[one], cluster[other]))
                cluster = [low if own == high else own for own in cluster]
    members = [[row for row, own in enumerate(cluster) if own == name] for name in dict.fromkeys(cluster)]
    shuffled = [members[own] for own in np.random.default_rng(seed).permutation(len(members))]
    outside = [rows for rows in shuffled if not any(covered[row] for row in rows) and all(known[row] for row in rows)]
    inside = [own for rows in shuffled if (own := [row for row in rows if covered[row]])]
    certain = [rows for rows in inside if all(known[row] for row in rows)]
    parts: list[str | None] = [None] * len(prompts)

    def fill(part: str, clusters: list[list[int]], size: int) -> None:
        for rows in clusters:
            if parts[rows[0]] is None and parts.count(part) + len(rows) <= size:
                for row in rows:
                    parts[row] = part

    fill("gold", outside if leaves_voted else certain, round(0.3 * len(prompts)))
    fill("test", certain, round(0.2 * len(prompts)))
    fill("validation", certain, round(0.1 * len(prompts)))
    uncertain = [rows for rows in inside if not all(known[row] for row in rows)]
    fill("unlabelled", [*uncertain, *certain], round(0.3 * len(prompts)))
    return parts
