"""The LSTM against its equations in float64 and against torch's; bag-of-words on what words alone decide."""

import dataclasses
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax import ModelConfig, generate
from gpt_jax.config import override
from gpt_jax.finetuning.bag_of_words import BagOfWords, majority
from gpt_jax.model.interface import init_cache, language_model
from gpt_jax.model.lstm import cell
from gpt_jax.model.products import _scan, recurrent
from gpt_jax.training.state import init_state
from gpt_jax.training.step import make_train_step
from tests.finetuning.tiny import TOKENIZER, example, examples, run_config, task, truth
from tests.training.tiny import TINY

CONFIG = ModelConfig(
    architecture="lstm",
    vocab_size=19,
    context_length=16,
    n_layer=2,
    n_head=1,
    d_model=6,
    d_ff=5,
    embedding_dropout=0.0,
    residual_dropout=0.0,
    initialization_std=0.5,
)
TOKENS = jax.random.randint(jax.random.key(1), (3, 11), 0, 19)


def init(config=CONFIG, seed=0):
    params = jax.jit(language_model(config).init)(jax.random.key(seed), TOKENS)["params"]
    noise = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 0.1 * noise.normal(size=leaf.shape).astype(np.float32), params)


def apply(params, tokens, config=CONFIG, **kwargs):
    return jax.jit(lambda p, t: language_model(config).apply({"params": p}, t, **kwargs))(params, tokens)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_in_numpy(params, tokens):
    """Logits in float64, a step at a time."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    x_BTM = p["wte"][tokens]
    for n in range(CONFIG.n_layer):
        layer = p[f"block_{n}"]
        c = h = np.zeros((len(tokens), CONFIG.mlp_width))
        out = []
        for x in x_BTM.swapaxes(0, 1):
            i, f, o, g = (
                x @ layer["input"]["kernel"][:, k] + layer["input"]["bias"][k] + h @ layer["recurrent"][:, k]
                for k in range(4)
            )
            c = sigmoid(f + layer["forget"]) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h @ layer["output"]["kernel"] + layer["output"]["bias"])
        x_BTM = np.stack(out, axis=1)
    return x_BTM @ p["wte"].T


def test_the_lstm_is_its_equations():
    params = init()
    np.testing.assert_allclose(apply(params, TOKENS), lstm_in_numpy(params, TOKENS), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed (extra: parity)")
def test_a_layer_equals_torchs():
    import torch

    params = init(dataclasses.replace(CONFIG, n_layer=1))
    layer = jax.tree.map(np.array, params["block_0"])
    theirs: Any = torch.nn.LSTM(CONFIG.d_model, CONFIG.mlp_width, batch_first=True)
    order = [0, 1, 3, 2]  # torch: input, forget, cell, output
    with torch.no_grad():
        kernel, bias = layer["input"]["kernel"][:, order], layer["input"]["bias"][order]
        bias[1] += layer["forget"]
        theirs.weight_ih_l0.copy_(torch.tensor(kernel.reshape(CONFIG.d_model, -1).T))
        theirs.weight_hh_l0.copy_(torch.tensor(layer["recurrent"][:, order].reshape(CONFIG.mlp_width, -1).T))
        theirs.bias_ih_l0.copy_(torch.tensor(bias.reshape(-1)))
        theirs.bias_hh_l0.zero_()
        h = theirs(torch.tensor(np.asarray(params["wte"])[np.asarray(TOKENS)]))[0].numpy()
    logits = (h @ layer["output"]["kernel"] + layer["output"]["bias"]) @ np.asarray(params["wte"]).T
    ours = apply(params, TOKENS, dataclasses.replace(CONFIG, n_layer=1))
    np.testing.assert_allclose(ours, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_the_recurrences_gradient_is_that_of_the_plain_scan(dtype, tolerance):
    """Every gradient, with padding and a carry, against automatic differentiation through the scan in float32."""
    rng = np.random.default_rng(0)
    gates, matrix = rng.normal(size=(7, 3, 4, 5)).astype(np.float32), rng.normal(size=(5, 4, 5)).astype(np.float32)
    carry = tuple(rng.normal(size=(3, 5)).astype(np.float32) for _ in range(2))
    real = np.arange(7)[:, None] < np.array([7, 4, 1])
    weights = rng.normal(size=(7, 3, 5)).astype(np.float32)

    def total(run):
        def value(gates, matrix, carry):
            out, (c, h) = run(gates, matrix, carry)
            return (out * weights).sum() + (c * h).sum()

        return jax.jit(jax.grad(value, argnums=(0, 1, 2)))(gates, matrix, carry)

    ours = total(lambda gates, matrix, carry: recurrent(cell, gates, matrix, carry, real, jnp.dtype(dtype)))
    plain = total(lambda gates, matrix, carry: _scan(cell, gates, matrix, carry, real, jnp.dtype("float32"))[0])
    for own, true in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        assert np.abs(own - true).max() < tolerance * np.abs(true).max()


def test_every_product_of_the_recurrence_has_operands_of_its_dtype():
    """Forward, backward and of the matrix's gradient, in what is compiled."""
    zeros = jnp.zeros((5, 5))

    def total(gates, matrix):
        results: Any = recurrent(cell, gates, matrix, (zeros, zeros), zeros[:2] == 0, jnp.dtype("bfloat16"))
        return results[0].sum()

    run = jax.grad(total, argnums=(0, 1))
    text = jax.jit(run).lower(jnp.ones((2, 5, 4, 5)), jnp.ones((5, 4, 5))).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert len(products) >= 3
    assert all(line.split(" : ")[1].split(" -> ")[0].count("bf16") == 2 for line in products)


def test_future_tokens_change_nothing_before_them():
    params = init()
    before = apply(params, TOKENS)
    after = apply(params, TOKENS.at[:, 7:].set(0))
    np.testing.assert_allclose(before[:, :7], after[:, :7], atol=1e-6)
    assert np.abs(np.asarray(before[:, 7:] - after[:, 7:])).max() > 1e-3


def test_decoding_with_the_carry_equals_the_whole_sequence_and_padding_leaves_it():
    params, whole = init(), lstm_in_numpy(init(), TOKENS)
    prompt = np.full((3, 8), -1, np.int32)
    for row, length in enumerate((8, 3, 5)):
        prompt[row, :length] = TOKENS[row, :length]
    logits, carry = apply(params, prompt, cache=init_cache(CONFIG, 3))
    assert carry.length_B.tolist() == [8, 3, 5]
    np.testing.assert_allclose(logits[1, :3], whole[1, :3], rtol=1e-4, atol=1e-5)
    following = np.stack([TOKENS[row, length : length + 3] for row, length in enumerate((8, 3, 5))])
    more, _ = apply(params, following, cache=carry)
    for row, length in enumerate((8, 3, 5)):
        np.testing.assert_allclose(more[row], whole[row, length : length + 3], rtol=1e-4, atol=1e-5)


def test_generate_takes_an_lstm_and_is_greedy_by_its_own_logits():
    params, prompt = init(), [3, 1, 4]
    (out,) = generate(CONFIG, params, [prompt], 5, temperature=0)
    for _ in range(5):
        prompt.append(int(lstm_in_numpy(params, np.array([prompt]))[0, -1].argmax()))
    assert prompt[3:] == out


def test_the_ordinary_training_step_trains_it():
    config = override(TINY, {"model.architecture": "lstm", "model.n_layer": 1})
    state = jax.jit(lambda: init_state(config))()
    step = jax.jit(make_train_step(config))
    tokens = np.tile(np.arange(17, dtype=np.int32), (1, 4, 1))
    losses = []
    for _ in range(120):
        state, metrics = step(state, tokens, np.float32(2e-2), np.uint32(0))
        losses.append(float(metrics["train/loss"]))
    assert losses[0] == pytest.approx(np.log(257), rel=0.02) and losses[-1] < 1


def test_gpt1s_table_5_lstm_has_one_layer_of_2048_units():
    config = ModelConfig(architecture="lstm", d_model=512, n_layer=1, n_head=8, vocab_size=100)
    shapes = jax.eval_shape(language_model(config).init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    assert shapes["block_0"]["recurrent"].shape == (2048, 4, 2048)


@pytest.mark.slow
def test_an_lstm_is_fine_tuned_like_the_decoder():
    from gpt_jax.finetuning import parameters
    from gpt_jax.finetuning.fit import fit, labels_of

    config = dataclasses.replace(
        run_config(epochs=12, learning_rate=1e-2, trainable="top:1"),
        model=dataclasses.replace(
            CONFIG, vocab_size=257, context_length=32, d_model=16, d_ff=32, initialization_std=0.3
        ),
    )
    data = {
        name: examples("classification", n, seed) for seed, (name, n) in enumerate({"train": 96, "test": 64}.items())
    }
    model = fit(config, task("classification"), data, TOKENIZER)
    assert {*model.trained["model"]} == {"block_1"} and {*model.frozen} == {"wte", "block_0"}
    labels = truth(data["test"])
    assert (labels_of(model.predict(data["test"])) == labels).mean() > 0.8
    assert parameters.joined(parameters.merged(model.trained, model.frozen))["model"]["wte"].shape == (260, 16)


def accuracy(model, data):
    return (model.predict(data).argmax(1) == truth(data)).mean()


def test_bag_of_words_learns_what_a_word_decides():
    train, test = (
        [example(f"{w} the film {'good' if n % 2 else 'bad'} .", label=n % 2) for n, w in enumerate(words)]
        for words in (["so", "oh", "ah", "hm"] * 4, ["well", "yes", "no", "so"])
    )
    model = BagOfWords(task("classification")).fit(train)
    assert accuracy(model, test) == 1
    np.testing.assert_allclose(model.predict(test).sum(1), 1)


def test_order_is_lost_to_words_and_seen_by_pairs_of_words():
    data = [example("dog bites man", label=0), example("man bites dog", label=1)] * 8
    assert accuracy(BagOfWords(task("classification")).fit(data), data) == 0.5
    assert accuracy(BagOfWords(task("classification"), ngrams=2).fit(data), data) == 1


def test_a_pair_that_shares_its_words_is_told_from_one_that_does_not():
    rng = np.random.default_rng(0)
    words = np.array(["sun", "rain", "cat", "dog", "tree", "car"])

    def pair(label):
        first, *rest = rng.permutation(words)
        return example(f"the {first}", f"a {first if label else rest[0]}", label=label)

    train, test = ([pair(n % 2) for n in range(size)] for size in (60, 20))
    assert accuracy(BagOfWords(task("entailment")).fit(train), test) > 0.9


def test_answers_are_compared_and_absent_ones_have_probability_0():
    train = [
        example("story", "what ?", *(["wrong", "right"] if n % 2 else ["right", "wrong", "bad"]), label=n % 2)
        for n in range(8)
    ]
    model = BagOfWords(task("multiple_choice")).fit(train)
    found = model.predict(train)
    assert accuracy(model, train) == 1 and found.shape == (8, 3)
    np.testing.assert_allclose(found.sum(1), 1)
    assert not found[1::2, 2].any()


def test_real_labels_and_a_single_label_are_taken():
    data = [example("a b" if n % 2 else "c d", "a b", label=5.0 * (n % 2)) for n in range(20)]
    found = BagOfWords(task("similarity", (0, 5))).fit(data).predict(data)
    assert np.corrcoef(found, truth(data))[0, 1] > 0.99
    single = [example("a", label=1)] * 3
    np.testing.assert_array_equal(BagOfWords(task("classification")).fit(single).predict(single), [[0, 1]] * 3)


def test_the_majority_is_the_labels_shares_or_their_mean():
    train = [example("a", label=label) for label in (1, 1, 0, 1)]
    np.testing.assert_allclose(majority(task("classification"), train, train[:2]), [[0.25, 0.75]] * 2)
    real = [example("a", "b", label=label) for label in (1.0, 2.0, 4.5)]
    np.testing.assert_allclose(majority(task("similarity", (0, 5)), real, real[:1]), [2.5])
