"""What is kept of published runs that were made again, and what docs/RESULTS.md says of them."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.experiment import Experiment
from experiments.published.compare import compare
from experiments.published.reruns import FILE, Rerun, of_lines, read_reruns, record
from experiments.verdicts.document import Found, results_page
from experiments.verdicts.sources import Runs
from gpt_jax.errors import InputError
from tests.experiments.made_up import made_up
from tests.experiments.published.test_compare import losses, run

CLEAN = {"commit": "b" * 40, "dirty": False, "processor": "A"}
ROOT = Path(__file__).parents[3]


def rerun(seed: int = 0, **changes) -> Rerun:
    was = run(seed=seed)
    return Rerun.of(was, compare(was, run(seed=seed, **changes)), CLEAN)


def test_a_rerun_takes_the_place_of_an_earlier_one_of_its_run_and_the_order_is_that_of_the_runs(tmp_path):
    other = rerun(curves=losses(5.0, 4.5, 3.0), log_digest="m")
    for one in (rerun(seed=3), other, rerun()):
        record(tmp_path, one)
    assert read_reruns(tmp_path) == [rerun(), rerun(seed=3)]
    assert other.first == "step 2: train/loss is 4.5, was 4.0" and not other.equal and not other.holds


def test_of_reruns_that_are_recorded_at_once_none_is_lost(tmp_path, monkeypatch):
    def slowly(root: Path) -> list[Rerun]:
        found = read_reruns(root)
        time.sleep(0.05)
        return found

    monkeypatch.setattr("experiments.published.reruns.read_reruns", slowly)
    at_once = [threading.Thread(target=record, args=(tmp_path, rerun(seed=seed))) for seed in range(4)]
    for one in at_once:
        one.start()
    for one in at_once:
        one.join()
    assert [one.seed for one in read_reruns(tmp_path)] == [0, 1, 2, 3]


def test_a_line_with_other_numbers_was_not_made_again(tmp_path):
    assert of_lines([rerun()], [run()]) == [rerun()]
    assert of_lines([rerun()], [run(log_digest="new")]) == []


def test_the_page_counts_what_was_equal_what_was_near_and_what_was_neither():
    e: Experiment = made_up()
    lines = [run(seed=seed) for seed in range(4)]
    near = {"environment": {**run().environment, "processor": "B"}, "curves": losses(5.0, 4.004, 3.0)}
    again = [rerun(0), rerun(1, **near), rerun(2, curves=losses(5.0, 9.0, 3.0))]
    runs = Runs(e, [line.result(str(line.seed)) for line in lines], Path("cpu.jsonl"))
    page = results_page([Found(e, ((runs, lines, []),))], again)
    assert (
        f"| `{e.name}` | `cpu` | 4 | 3 | 1 | 1 | 1 | 1.25 |" in page and "| all |  | 4 | 3 | 1 | 1 | 1 | 1.25 |" in page
    )
    assert "made again" not in results_page([Found(e, ((runs, lines, []),))])


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"claim": "made_up"}) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"{FILE}:1: is no rerun of a published run"):
        read_reruns(tmp_path)


def test_what_is_not_whole_or_not_published_is_not_recorded(tmp_path, capsys):
    line = str(ROOT / "results/quickstart/smoke.jsonl")
    for words in (
        [line, "--rerun", "--record", "--steps", "3"],
        [str(tmp_path), "--rerun", "--record"],
        [line, "--record"],
    ):
        assert main(["verify", *words]) == 2
        assert "error: --record: not allowed" in capsys.readouterr().err


def test_a_run_that_made_no_figures_again_has_no_largest_difference():
    was = run()
    compared = replace(compare(was, was), first="diverged: at step 2", largest=float("inf"))
    assert Rerun.of(was, compared, CLEAN).largest is None
