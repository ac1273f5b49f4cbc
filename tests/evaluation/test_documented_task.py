"""docs/EVALUATION.md is true: its task runs as it stands there, and its table has every task."""

import json
import re
from pathlib import Path

from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.evaluator import evaluate
from gpt_jax.evaluation.task import families
from tests.evaluation.models import text_model

PAGE = (Path(__file__).parents[2] / "docs" / "EVALUATION.md").read_text(encoding="utf-8")


def test_the_documented_task_runs(tmp_path):
    code = re.search(r"```python\n(\"\"\"Capitals.*?)```", PAGE, re.DOTALL)
    assert code is not None
    namespace = {}
    exec(code[1], namespace)
    rows = [{"country": c, "cities": [c[:3], c[-3:]], "answer": n % 2} for n, c in enumerate(("Chad", "Mali", "Oman"))]
    (tmp_path / "capitals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    outcome = evaluate(text_model(), namespace["TASKS"][0], Files(tmp_path), 2)
    assert outcome.shown == 2 and outcome.estimates[0][1].n == 3
    assert outcome.records[0]["requests"][0]["context"].endswith(".\nThe capital of Chad is")


def test_the_table_of_tasks_has_every_task():
    named = set(re.findall(r"`([\w.]+)`", PAGE))
    members = {"arithmetic": "two_digit_addition", "scramble": "cycle_letters_in_word", "blimp": "blimp"}
    for family, tasks in families().items():
        for task in tasks[:1] if family in members else tasks:
            shortened = task.name.replace("translation", "")
            assert members.get(family, task.name) in named or shortened in named, task.name
