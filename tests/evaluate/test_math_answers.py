from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from outgrow.config import TaskConfig
from outgrow.errors import DataError, MissingExtraError
from outgrow.evaluate.text_metrics import MathAnswer
from outgrow.tasks import read_task

needs_math = pytest.mark.skipif("not __import__('importlib.util').util.find_spec('math_verify')", reason="extra `math`")


@needs_math
@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("so it is 0.5", r"\boxed{\frac{1}{2}}", True),
        (r"$\boxed{x^2+2x+1}$", r"$\boxed{(x+1)^2}$", True),
        (r"first \boxed{3}, no: it is \boxed{4}", r"\boxed{3}", False),
        (r"\boxed{(3,\pi/2)}", r"\boxed{\left( 3, \frac{\pi}{2} \right)}", True),
        ("1,234 apples", r"\boxed{1234}", True),
        ("I do not know.", r"\boxed{0}", False),
        ("", r"\boxed{0}", False),
        (r"\boxed{9^{9^{9^{9}}}+1}", r"\boxed{9^{9^{9^{9}}}}", False),
    ],
)
def test_final_answers_are_compared_as_mathematics(answer: str, gold: str, right: bool) -> None:
    assert MathAnswer()([answer, None], [gold, gold]).tolist() == [float(right), 0.0]


@needs_math
def test_a_gold_text_without_an_answer_is_said() -> None:
    with pytest.raises(DataError, match=r"no final answer(.|\n)*It is obvious"):
        MathAnswer()(["1"], ["It is obvious."])


@needs_math
def test_the_task_reads_problems_and_scores_solutions(tmp_path: Path) -> None:
    lines = [{"problem": f"What is {n}/2?", "solution": rf"It is $\boxed{{\frac{{{n}}}{{2}}}}$."} for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = TaskConfig(name="math", path=str(tmp_path / "rows.jsonl"))
    task, rows = read_task(config)
    answers = [str(int(prompt.split()[-1].split("/")[0]) / 2) for prompt in rows.prompts]
    assert task.score(config, rows, answers)["math_answer"].tolist() == [1.0] * len(rows)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(MissingExtraError, match=r"outgrow\[math\]"):
        MathAnswer()(["1"], ["1"])
