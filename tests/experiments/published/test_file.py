"""results/CLAIM/SCALE.jsonl: what a line keeps, that publishing twice changes nothing, and what a damaged line says."""

import json
import threading
import time
from dataclasses import replace

import pytest

from experiments.published.file import add, merged, path_of, read_lines, read_published, write_lines
from experiments.published.line import MOST_POINTS, Published, log_digest, published_run, thinned
from experiments.runs.results import read_results
from experiments.verdicts.judge import judge_all
from gpt_jax.errors import InputError
from tests.experiments.made_up import made_up, write_run


def publish(tmp_path, e, **changes) -> list[Published]:
    """The lines of a made-up experiment's runs: three seeds of two arms, which diverged, so that none has weights."""
    lines = []
    for seed in range(3):
        for arm, loss in (("new", 3 + seed + 1 / 3), ("old", 3.1 + seed)):
            folder = write_run(tmp_path, e, arm, seed, loss, "cpu", {"diverged": 1.0, "time/seconds": 2.0})
            environment = {"commit": "c0ffee" * 6, "dirty": False, "cores": 2}
            (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
            lines.append(replace(published_run(folder, "s"), **changes))
    return lines


def test_a_line_keeps_what_its_run_needs_to_be_made_again(tmp_path):
    e = made_up()
    line = publish(tmp_path, e)[0]
    assert line.run_config() == e.config("new", "cpu", 0)
    assert (line.outcome, line.commit, line.source_digest) == ("diverged", "c0ffee" * 6, "s")
    assert (line.how, line.environment, line.seconds) == ([{"way": "serial", "cores": 2}], {"cores": 2}, 2.0)
    assert line.curves["validation/loss"] == {"step": [10], "tokens": [320], "value": [3 + 1 / 3]}
    assert json.loads(line.text())["curves"]["validation/loss"]["value"] == [3 + 1 / 3]  # bit for bit


def test_published_runs_give_the_verdicts_that_their_folders_give(tmp_path):
    e = made_up(plateau=None)
    for seed, (new, old) in enumerate([(2.0, 2.1), (3.0, 3.11), (4.0, 4.09)]):
        for arm, loss in (("new", new), ("old", old)):
            folder = write_run(tmp_path / "runs", e, arm, seed, loss, "cpu")
            (folder / "environment.json").write_text('{"commit": "a", "dirty": false}', encoding="utf-8")
    of_folders = read_results(tmp_path / "runs" / e.name, e)
    lines = [
        replace(line, metrics=run.metrics)
        for line, run in zip(sorted(publish(tmp_path / "again", e), key=lambda r: r.place), of_folders, strict=True)
    ]
    path = path_of(e.name, "cpu", tmp_path)
    write_lines(path, lines)
    (ours,), (theirs,) = judge_all(read_published(path, e), e), judge_all(of_folders, e)
    assert (ours.verdict, ours.interval, ours.differences) == (theirs.verdict, theirs.interval, theirs.differences)
    assert ours.verdict == "reproduced"


def test_publishing_the_same_runs_again_changes_no_byte_and_keeps_the_first_commit(tmp_path):
    e, path = made_up(), path_of("made_up", "cpu", tmp_path)
    lines = publish(tmp_path, e)
    write_lines(path, reversed(lines))
    before = path.read_bytes()
    again = [replace(run, commit="beef", seconds=9.0, metrics={**run.metrics, "time/seconds": 9.0}) for run in lines]
    runs, remarks = merged(list(read_lines(path).values()), again, e)
    write_lines(path, runs)
    assert path.read_bytes() == before
    assert len(remarks) == 6 and remarks[0] == "new seed 0: the numbers of c0ffeec again: its line stays"


def test_of_runs_that_are_published_at_once_none_is_lost(tmp_path, monkeypatch):
    e = made_up()
    lines, path = publish(tmp_path, e), path_of(e.name, "cpu", tmp_path / "results")

    def slowly(place):
        found = read_lines(place)
        time.sleep(0.05)
        return found

    monkeypatch.setattr("experiments.published.file.read_lines", slowly)
    add(path, lines[:1], e)
    at_once = [threading.Thread(target=add, args=(path, [line], e)) for line in lines[1:]]
    for one in at_once:
        one.start()
    for one in at_once:
        one.join()
    assert {run.place for run in read_lines(path).values()} == {line.place for line in lines}


def test_other_numbers_take_the_lines_place_under_their_own_commit(tmp_path):
    e = made_up()
    lines = publish(tmp_path, e)
    other = replace(lines[0], commit="beef", log_digest="other")
    runs, remarks = merged(lines, [other], e)
    assert runs == [other, *lines[1:]]
    assert remarks == ["new seed 0: beef takes the place of c0ffeec"]


def test_lines_of_a_config_that_the_claim_no_longer_has_leave_when_it_is_run_again(tmp_path):
    e = made_up()
    lines = publish(tmp_path, e)
    changed = made_up(base=e.config("new", "smoke", 0, {"optimizer.learning_rate": 0.5}))
    new = publish(tmp_path / "new", changed)[:1]
    runs, remarks = merged(lines, new, changed)
    assert runs == new and len(remarks) == 6 and "optimizer.learning_rate is " in remarks[0]
    assert merged(lines, [], changed) == (lines, [])  # without new ones, they stay


def test_how_numbers_are_computed_is_no_other_config(tmp_path):
    e = made_up()
    lines = publish(tmp_path, e)
    computed = made_up(base=e.config("new", "smoke", 0, {"model.remat": "full"}))
    assert len(merged(lines, publish(tmp_path / "new", computed)[:1], computed)[0]) == 6


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", "0", "cpu.jsonl:1: seed: '0' is not allowed: int is"),
        ("seed", True, "seed: True"),
        ("outcome", "fine", "finished or diverged is"),
        ("config_digest", "0", "config_digest is 0, the config gives"),
        ("config", {"model.nlayer": 2}, "did you mean 'model.n_layer'"),
        ("curves", {"a": {"step": [1], "tokens": [1], "value": []}}, "no lists of one length"),
        ("scale", "paper", "is of made_up at paper: made_up/paper.jsonl holds that"),
        ("more", 1, "more is not allowed"),
    ],
)
def test_a_line_that_was_changed_by_hand_is_named(tmp_path, key, value, said):
    path = path_of("made_up", "cpu", tmp_path)
    write_lines(path, publish(tmp_path, made_up()))
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), key: value}), *rest]), encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_lines(path)
    assert said in str(error.value)


def test_a_run_that_stands_in_a_file_twice_is_named(tmp_path):
    path = path_of("made_up", "cpu", tmp_path)
    write_lines(path, [*publish(tmp_path, made_up())[:1]] * 2)
    with pytest.raises(InputError, match=r"cpu.jsonl:2: new seed 0 stands in .*cpu.jsonl:1 already"):
        read_lines(path)


@pytest.mark.parametrize("count", [1, 59, 60, 61, 75, 1000])
def test_a_thinned_curve_has_its_first_points_and_its_last(count):
    places = thinned(count)
    assert len(places) == min(count, MOST_POINTS) and places == sorted(set(places))
    assert places[:10] == list(range(min(count, 10))) and places[-1] == count - 1


def test_the_logs_digest_is_of_every_figure_but_the_clocks():
    line = {"step": 1, "tokens": 2, "train/loss": 0.1, "time/tokens_per_second": 5.0}
    assert log_digest([line]) == log_digest([{**line, "time/tokens_per_second": 6.0}])
    assert log_digest([line]) != log_digest([{**line, "train/loss": 0.1 + 2**-56}])
