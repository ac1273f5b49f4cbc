"""`evaluate`: a table and files from a weights folder or a run's checkpoints; one line for what is wrong."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from experiments.arguments import output_file
from experiments.cli import main
from experiments.commands import evaluate as evaluate_command
from experiments.commands.evaluate import figure, read_shots
from experiments.verdicts.plots import zero_shot_curves
from gpt_jax import GPT, InputError, ModelConfig, save_pretrained
from gpt_jax.data.sources.local import is_answers
from gpt_jax.data.tokenizers import BytesTokenizer

TINY = ModelConfig(vocab_size=257, context_length=128, n_layer=1, n_head=2, d_model=8, initialization_std=0.3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "weights"
    params = jax.jit(GPT(TINY).init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    save_pretrained(TINY, params, folder)
    BytesTokenizer().save(folder)
    return folder


@pytest.fixture
def place(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    shutil.copytree(weights, tmp_path / "weights")
    (tmp_path / "lambada_test.jsonl").write_text(
        "".join(f'{{"text": "one two {n} end"}}\n' for n in range(8)), encoding="utf-8"
    )
    (tmp_path / "wsc273.txt").write_text(
        "Ann met Eve before [MASK] left.\n[MASK]\nAnn,Eve\nEve\n\n" * 3, encoding="utf-8"
    )
    return tmp_path


def evaluate(place, *more):
    return main(["evaluate", str(place / "weights"), "--data-dir", str(place), *more])


def test_the_table_as_json_holds_every_task_and_every_shot(place, capsys):
    assert evaluate(place, "--tasks", "lambada,winograd", "--shots", "0,2", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [(row["task"], row["shots"]) for row in rows] == [("lambada", 0)] * 3 + [("lambada", 2)] * 3 + [
        ("winograd", 0)
    ] * 2
    assert all(row["low"] <= row["score"] <= row["high"] for row in rows)
    assert [row["n"] for row in rows] == [8] * 6 + [3] * 2
    assert rows[-1]["normalised"] == (rows[-1]["score"] - 50) / 50


def test_every_answer_is_kept_beside_the_table_and_a_second_run_is_the_same(place, capsys):
    out = place / "scores.json"
    assert evaluate(place, "--tasks", "lambada", "--limit", "5", "--out", str(out)) == 0
    assert "perplexity" in capsys.readouterr().out
    first, items = out.read_text(encoding="utf-8"), (place / "scores.items.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in items.splitlines()]
    assert len(records) == 5 and {r["task"] for r in records} == {"lambada"}
    assert records[0]["item"]["word"] == " end" and len(records[0]["answers"]) == 1
    assert list((place / "cache" / "evaluation").glob("lambada-0-*.json"))
    assert evaluate(place, "--tasks", "lambada", "--limit", "5", "--out", str(out)) == 0
    assert (out.read_text(encoding="utf-8"), (place / "scores.items.jsonl").read_text(encoding="utf-8")) == (
        first,
        items,
    )


def test_a_model_of_int8_has_a_digest_and_answers_of_its_own(place, capsys):
    results = []
    for words in ([], ["--int8"], []):
        assert evaluate(place, "--tasks", "lambada", "--json", *words) == 0
        results.append(json.loads(capsys.readouterr().out)["results"])
    plain, rounded, again = results
    assert plain == again
    assert {row["model"] for row in plain}.isdisjoint(row["model"] for row in rounded)
    before, after = (next(r["score"] for r in rows if r["metric"] == "perplexity") for rows in (plain, rounded))
    assert 0 < abs(after / before - 1) < 0.2
    assert len(list((place / "cache" / "evaluation").glob("lambada-0-*.json"))) == 2


def test_compiled_programs_of_a_tenth_of_a_second_are_kept_below_the_cache(place):
    config: Any = jax.config
    before = config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)  # JAX's own
    try:
        assert evaluate(place, "--tasks", "lambada", "--limit", "1", "--json") == 0
        assert config.jax_persistent_cache_min_compile_time_secs == 0.1
        assert config.jax_compilation_cache_dir == str(place / "cache" / "xla")
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", before)


def test_clean_and_dirty_items_are_scored_apart_by_what_contamination_found(place, capsys):
    (place / "corpus.txt").write_text("It was said: one two 3 end. And one two 6 end, as they say.", encoding="utf-8")
    overlap, out = place / "overlap.json", place / "scores.json"
    corpus = ["contamination", str(place / "corpus.txt"), "--data-dir", str(place), "--tasks", "lambada,winograd"]
    assert main([*corpus, "--n", "4", "--out", str(overlap)]) == 0
    assert evaluate(place, "--tasks", "lambada,winograd", "--overlap", str(overlap), "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert "dirty" in printed and "change from all" in printed
    rows = [
        r
        for r in json.loads(out.read_text(encoding="utf-8"))["results"]
        if r["task"] == "lambada" and r["metric"] == "perplexity"
    ]
    assert [(row["items"], row["n"]) for row in rows] == [("all", 8), ("clean", 6), ("dirty", 2)]
    records = [json.loads(line) for line in (place / "scores.items.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = {r["number"]: r["answers"][0][0] for r in records if r["task"] == "lambada"}
    for row, numbers in zip(rows, [range(8), (0, 1, 2, 4, 5, 7), (3, 6)], strict=True):
        assert row["score"] == pytest.approx(math.exp(-sum(scores[n] for n in numbers) / len(numbers)))
    for row in rows[1:]:
        assert row["change"] == pytest.approx(row["score"] / rows[0]["score"] - 1)
        assert f"{row['change']:+.1%}" in printed


def test_a_sweep_ends_with_as_many_examples_as_fit(place, capsys):
    assert evaluate(place, "--tasks", "lambada", "--shots", "sweep", "--json") == 0
    shots = sorted({row["shots"] for row in json.loads(capsys.readouterr().out)["results"]})
    assert shots[:3] == [0, 1, 2] and shots[-1] == 4  # 24 bytes an example, 16 for the question, a context of 128


def test_every_checkpoint_is_a_row_with_its_tokens_and_the_picture_is_drawn(place, capsys, monkeypatch):
    from experiments.runs import weights

    loaded = weights.load_model(place / "weights")
    steps = []
    monkeypatch.setattr(weights, "load_model", lambda folder, report, step, int8: steps.append(step) or loaded)
    monkeypatch.setattr(evaluate_command, "_checkpoints", lambda arguments: [(10, 1000), (20, 2000)])
    out = place / "s.json"
    assert evaluate(place, "--tasks", "winograd", "--checkpoints", "--out", str(out)) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert steps == [10, 20] and [(r["step"], r["tokens"]) for r in rows] == [(10, 1000)] * 2 + [(20, 2000)] * 2
    assert (place / "s.png").stat().st_size > 1000


def test_curves_of_nothing_measured_are_an_empty_picture(tmp_path):
    rows = [{"task": "a", "shots": 0, "metric": "m", "unit": "per word", "tokens": 1, "score": 2.0}]
    assert zero_shot_curves(rows, tmp_path / "p.png").is_file()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--tasks", "lambda"], "did you mean 'lambada'"),
        (["--tasks", "lambada", "--shots", "1,x"], "--shots: '1,x'"),
        (["--tasks", "lambada", "--shots", "1,1"], "--shots: '1,1'"),
        (["--tasks", "winograd", "--shots", "3"], "winograd is a zero-shot task"),
        (["--tasks", "lambada", "--shots", "7"], "longer than the context of 128"),
        (["--tasks", "cbt_cn"], "holds no 'cbtest_CN_valid_2000ex.txt'"),
        (["--tasks", "lambada", "--stride", "200"], "stride: 200"),
        (["--tasks", "lambada", "--checkpoints"], "is a weights folder"),
        (["--tasks", "lambada", "--out", "no/such/place.json"], "--out: 'no/such/place.json'"),
        (["--tasks", "lambada", "--out", "."], "--out: '.'"),
        (["--tasks", "lambada", "--limit", "0"], "--limit"),
        (["--tasks", "lambada", "--overlap", "no.json"], "no.json"),
    ],
)
def test_wrong_use_is_one_line(place, capsys, more, named):
    assert evaluate(place, *more) == 2
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error and error.strip().splitlines()[-1].startswith("error: ")


def test_what_was_measured_before_an_error_is_shown_and_written(place, capsys):
    out = place / "scores.json"
    assert evaluate(place, "--tasks", "winograd,cbt_cn", "--out", str(out)) == 2
    shown = capsys.readouterr()
    assert "accuracy, full" in shown.out and "holds no 'cbtest_CN" in shown.err.strip().splitlines()[-1]
    assert [row["task"] for row in json.loads(out.read_text(encoding="utf-8"))["results"]] == ["winograd"] * 2


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('{"words": "a b"}', "lambada_test.jsonl:2: 'text' is nothing: text is needed"),
        ('{"text": 3}', "lambada_test.jsonl:2: 'text' is 3: text is needed"),
        ('{"text": "a', "lambada_test.jsonl:2: not JSON"),
        ("[]", "lambada_test.jsonl:2: not a JSON object"),
        ('{"text": "a \\ud800"}', "lambada_test.jsonl:2: not valid Unicode"),
    ],
)
def test_a_damaged_line_is_named(place, capsys, line, named):
    (place / "lambada_test.jsonl").write_text(f'{{"text": "one two"}}\n{line}\n', encoding="utf-8")
    assert evaluate(place, "--tasks", "lambada") == 2
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error


def test_shots_are_numbers_fit_or_a_sweep():
    assert read_shots("0,10,fit") == [0, 10, "fit"] and read_shots("sweep") == ["sweep"]
    for wrong in ("", "0,sweep", "-1", "1.5", "fit,fit"):
        with pytest.raises(InputError, match="--shots"):
            read_shots(wrong)


def test_figures_read_well():
    assert [figure(v) for v in (None, 0.0, 45.678, 12345.6, 0.0123, 1e9)] == [
        "-",
        "0.00",
        "45.68",
        "12,345.60",
        "0.0123",
        "1e+09",
    ]


@pytest.mark.parametrize("name", ["result.json", "overlap.json", "config.json", "notes.json"])
def test_a_file_that_evaluate_did_not_write_is_not_overwritten(place, capsys, name):
    (place / name).write_text('{"tasks": {"lambada": {"clean": [0], "dirty": []}}}', encoding="utf-8")
    before = (place / name).read_bytes()
    for command in (["--tasks", "lambada"], ["--tasks", "lambada", "--overlap", str(place / name)]):
        assert evaluate(place, *command, "--out", str(place / name)) == 2
    corpus = ["contamination", str(place / "lambada_test.jsonl"), "--data-dir", str(place), "--tasks", "lambada"]
    (place / name).write_bytes(before.replace(b"tasks", b"other"))
    assert main([*corpus, "--out", str(place / name)]) == 2
    assert "is no earlier output" in capsys.readouterr().err
    assert (place / name).read_bytes() == before.replace(b"tasks", b"other")


def test_two_names_keep_their_items_apart(place, capsys):
    for name in ("scores.v1", "scores"):
        assert evaluate(place, "--tasks", "lambada", "--out", str(place / name)) == 2
        assert "ends in .json" in capsys.readouterr().err
    for name in ("scores.v1.json", "scores.v2.json"):
        assert evaluate(place, "--tasks", "lambada", "--limit", "1", "--out", str(place / name)) == 0
        assert is_answers(place / name.replace(".json", ".items.jsonl"))  # it never becomes training text
    (place / "mine.items.jsonl").write_text("mine", encoding="utf-8")
    assert evaluate(place, "--tasks", "lambada", "--out", str(place / "mine.json")) == 2
    assert (place / "mine.items.jsonl").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux has it")
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_scored():
    with pytest.raises(InputError, match=r"--out: '/proc/scores.json' is not allowed: .*a folder to write to is"):
        output_file(Path("/proc/scores.json"), ())
