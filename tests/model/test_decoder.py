"""The decoder: its sizes, its layouts, its initialisations, and that it never sees the future."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import configs
from gpt_jax import GPT, ModelConfig
from gpt_jax.attention.patterns import Banded, Dense, Fixed, LogSparse, Strided
from gpt_jax.model.costs import parameter_count
from gpt_jax.model.layers_layout import stack_layers, unstack_layers

TINY = ModelConfig(
    vocab_size=31,
    context_length=16,
    n_layer=4,
    n_head=2,
    d_model=8,
    attention=(Dense(), Banded(3)),
    embedding_dropout=0.0,
    attention_dropout=0.0,
    residual_dropout=0.0,
    initialization_std=0.3,
)
TOKENS = jax.random.randint(jax.random.key(1), (2, 13), 0, 31)


slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)  # noqa: E731


@functools.cache
def init(config):
    return jax.jit(GPT(config).init)(jax.random.key(0), TOKENS)["params"]


def logits(config, params, tokens=TOKENS, **kwargs):
    return jax.jit(lambda p, t: GPT(config).apply({"params": p}, t, **kwargs))(params, tokens)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt1", 116_534_784),  # the sum of the released shapes
        ("gpt2-124m", 124_439_808),
        ("gpt2-355m", 354_823_168),
        ("gpt2-774m", 774_030_080),
        ("gpt2-1.5b", 1_557_611_200),
    ],
)
def test_parameter_counts_are_exact(name, parameters):
    assert parameter_count(configs.get(name).model) == parameters


@pytest.mark.parametrize(
    ("name", "printed"),  # GPT-3, Table D.1, in millions
    [
        ("125m", 125),
        ("350m", 356),
        ("760m", 760),
        ("1.3b", 1_320),
        ("2.7b", 2_650),
        ("6.7b", 6_660),
        ("13b", 12_850),
        ("175b", 174_600),
    ],
)
def test_gpt3_sizes_are_table_d1s(name, printed):
    for variant in ("", "-dense", "-strided"):
        model = configs.get(f"gpt3-{name}{variant}").model
        L, d, V, n = model.n_layer, model.d_model, 50257, 2048
        assert parameter_count(model) == V * d + n * d + L * (12 * d * d + 13 * d) + 2 * d
        assert parameter_count(model) / 1e6 == pytest.approx(printed, rel=0.005)
        assert model.n_head * model.head_width == d


def test_every_config_alternates_as_its_name_says():
    assert configs.get("gpt3-125m").model.attention == (Dense(), Banded(256))
    assert configs.get("gpt3-125m-dense").model.attention == (Dense(),)
    assert isinstance(configs.get("gpt3-125m-strided").model.pattern(7), Strided)
    assert [configs.get("gpt3-175b").model.pattern(n) for n in range(3)] == [Dense(), Banded(256), Dense()]


EVERY = (Banded(3), Strided(2), Dense(), Fixed(4, 1), LogSparse(2))


@pytest.mark.parametrize(
    ("norm", "implementation", "patterns"),
    [
        ("pre", "block", EVERY[:3]),
        ("post", "mask", EVERY[2:]),
        slow("pre", "block", EVERY),
        slow("post", "mask", EVERY),
    ],
)
def test_future_tokens_get_zero_gradient(norm, implementation, patterns):
    """By a table with a row for each position, token t being row t; the head is untied, so that only inputs count."""
    config = dataclasses.replace(
        TINY,
        norm=norm,
        n_layer=len(patterns),
        attention=patterns,
        attention_implementation=implementation,
        tie_embeddings=False,
    )
    params = init(config)
    weights_TV = jax.random.normal(jax.random.key(2), (13, 31))

    def scores_T(wte_VM):
        logits_TV = GPT(config).apply({"params": params | {"wte": wte_VM}}, jnp.arange(13)[None])[0]
        return (logits_TV * weights_TV).sum(axis=-1)

    gradient_TVM = np.asarray(jax.jit(jax.jacrev(scores_T))(params["wte"]))
    for position in range(13):
        assert (gradient_TVM[position, position + 1 : 13] == 0).all()
        assert (gradient_TVM[position, : position + 1] != 0).any(axis=-1).all()


def value_and_gradient(config, params):
    return jax.jit(jax.value_and_grad(lambda p: jnp.square(GPT(config).apply({"params": p}, TOKENS)).mean()))(params)


@pytest.fixture(scope="module")
def unrolled():
    return value_and_gradient(TINY, init(TINY))


@pytest.mark.parametrize("remat", ["none", slow("dots"), "full"])
def test_unrolled_and_scanned_are_one_function_of_one_tree(unrolled, remat):
    scanned = dataclasses.replace(TINY, scan_layers=True, remat=remat)
    stacked = stack_layers(TINY, init(TINY))
    own = jax.eval_shape(GPT(scanned).init, jax.random.key(0), TOKENS)["params"]
    assert jax.tree.map(jnp.shape, stacked) == jax.tree.map(jnp.shape, own)
    (value, gradient), (value_scanned, gradient_scanned) = unrolled, value_and_gradient(scanned, stacked)
    np.testing.assert_allclose(value, value_scanned, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4),
        gradient,
        unstack_layers(scanned, gradient_scanned),
    )


def test_converting_layouts_there_and_back_is_exact():
    params = init(TINY)
    jax.tree.map(np.testing.assert_array_equal, unstack_layers(TINY, stack_layers(TINY, params)), params)


def test_gpt2_initialisation_scales_residual_projections_and_positions():
    config = dataclasses.replace(
        TINY, d_model=128, n_layer=2, vocab_size=999, context_length=500, initialization_std=0.02
    )
    params = init(config)
    expected = {
        "wte": 0.02,
        "wpe": 0.01,
        ("block_1", "attention", "qkv", "kernel"): 0.02,
        ("block_1", "attention", "out", "kernel"): 0.02 / 2,  # sqrt(2 * 2 layers) = 2
        ("block_1", "mlp", "up", "kernel"): 0.02,
        ("block_1", "mlp", "down", "kernel"): 0.02 / 2,
    }
    for path, std in expected.items():
        leaf = params
        for name in (path,) if isinstance(path, str) else path:
            leaf = leaf[name]
        assert float(leaf.std()) == pytest.approx(std, rel=0.05), path
    assert all((b["attention"]["qkv"]["bias"] == 0).all() for n, b in params.items() if n.startswith("block"))


def test_gpt1_initialisation_is_one_normal_for_all():
    config = dataclasses.replace(
        TINY, n_layer=1, d_model=128, initialization="gpt1", norm="post", initialization_std=0.02
    )
    params = init(config)
    assert "ln_f" not in params  # post-LN has no final norm
    for leaf in (
        params["wpe"],
        params["block_0"]["mlp"]["down"]["kernel"],
        params["block_0"]["attention"]["out"]["kernel"],
    ):
        assert float(leaf.std()) == pytest.approx(0.02, rel=0.1)


def test_the_unscaled_initialisation_differs_from_gpt2s_in_the_residual_projections_alone():
    scaled, unscaled = (
        init(dataclasses.replace(TINY, n_layer=2, initialization=name)) for name in ("gpt2", "gpt2-unscaled")
    )
    norms = (jax.tree.map(np.linalg.norm, params) for params in (scaled, unscaled))
    with np.errstate(invalid="ignore"):  # biases are 0
        ratio = jax.tree.map(np.divide, *norms)
    block = ratio["block_1"]
    assert block["mlp"]["down"]["kernel"] == pytest.approx(1 / 2) == block["attention"]["out"]["kernel"]
    assert block["mlp"]["up"]["kernel"] == block["attention"]["qkv"]["kernel"] == 1
    assert ratio["wte"] == ratio["wpe"] == 1


def test_xavier_initialisation_has_glorots_variance():
    config = dataclasses.replace(TINY, n_layer=1, d_model=128, initialization="xavier")
    block = init(config)["block_0"]
    assert float(block["mlp"]["up"]["kernel"].std()) == pytest.approx((2 / (128 + 512)) ** 0.5, rel=0.05)
    assert float(block["attention"]["qkv"]["kernel"].std()) == pytest.approx((2 / 256) ** 0.5, rel=0.05)
    assert float(block["attention"]["out"]["kernel"].std()) == pytest.approx((2 / 256) ** 0.5, rel=0.05)


def test_head_width_is_its_own_field():
    params = init(dataclasses.replace(TINY, n_layer=1, d_head=5, n_head=3))
    assert params["block_0"]["attention"]["qkv"]["kernel"].shape == (8, 3, 3, 5)
    assert params["block_0"]["attention"]["out"]["kernel"].shape == (3, 5, 8)


def test_logits_are_float32_in_bfloat16_and_near_those_of_float32():
    config = dataclasses.replace(TINY, n_layer=2)
    params = init(config)
    low, high = logits(dataclasses.replace(config, compute_dtype="bfloat16"), params), logits(config, params)
    assert low.dtype == high.dtype == jnp.float32
    assert 0 < float(jnp.abs(low - high).max()) < 0.1 * float(jnp.abs(high).max())


def test_param_dtype_is_separate_from_compute_dtype():
    config = dataclasses.replace(TINY, param_dtype="bfloat16")
    params = jax.eval_shape(GPT(config).init, jax.random.key(0), TOKENS)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("place", ["embedding_dropout", "attention_dropout", "residual_dropout"])
def test_dropout_acts_at_each_place_only_in_training(place):
    config = dataclasses.replace(TINY, n_layer=1, **{place: 0.5})
    params = init(dataclasses.replace(TINY, n_layer=1))

    @jax.jit
    def dropped(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return GPT(config).apply({"params": params}, TOKENS, deterministic=False, rngs=rngs)

    plain, a, b, c = (np.asarray(x) for x in (logits(config, params), dropped(0), dropped(0), dropped(1)))
    np.testing.assert_array_equal(plain, logits(dataclasses.replace(config, **{place: 0.0}), params))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-3 and np.abs(a - plain).max() > 1e-3


def test_matrix_dropout_drops_the_same_entries_of_input_and_output():
    """GPT-1's released code: at rate p, a zeroed entry of the matrix is zero for the softmax too."""
    config = dataclasses.replace(TINY, n_layer=1, embedding_dropout=0.5, embedding_dropout_target="matrix")
    params = init(dataclasses.replace(TINY, n_layer=1))

    @jax.jit
    def hidden(params, key):
        return GPT(config).apply(
            {"params": params}, TOKENS, deterministic=False, rngs={"dropout": key}, method=GPT.hidden
        )

    _, head_VM, _ = hidden(params, jax.random.key(0))
    dropped = np.asarray(head_VM == 0).mean()
    assert 0.35 < dropped < 0.65
    kept = np.asarray(head_VM)[np.asarray(head_VM != 0)] / np.asarray(params["wte"])[np.asarray(head_VM != 0)]
    np.testing.assert_allclose(kept, 2.0, rtol=1e-6)


def test_untied_head_is_a_parameter_of_its_own():
    config = dataclasses.replace(TINY, n_layer=1, tie_embeddings=False)
    params = init(config)
    assert params["lm_head"].shape == (31, 8)
    assert (logits(config, params | {"lm_head": jnp.zeros((31, 8))}) == 0).all()


def test_too_many_tokens_are_refused():
    with pytest.raises(ValueError, match="context of 16"):
        GPT(TINY).apply({"params": init(TINY)}, jnp.zeros((1, 17), jnp.int32))


@pytest.mark.slow
def test_remat_keeps_everything_the_products_or_each_layers_input():
    """Bytes of the compiled backward pass: what 8 scanned layers keep for it."""

    def temporaries(remat: str) -> int:
        config = dataclasses.replace(
            TINY,
            context_length=128,
            n_layer=8,
            n_head=2,
            d_model=32,
            attention=(Dense(),),
            scan_layers=True,
            remat=remat,
        )
        params = jax.eval_shape(GPT(config).init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
        loss = lambda params, tokens: jnp.square(GPT(config).apply({"params": params}, tokens)).sum()  # noqa: E731
        lowered = jax.jit(jax.grad(loss)).lower(params, jax.ShapeDtypeStruct((4, 128), jnp.int32))
        memory: Any = lowered.compile().memory_analysis()
        return memory.temp_size_in_bytes

    none, dots, full = map(temporaries, ("none", "dots", "full"))
    products = 8 * 4 * 128 * (3 + 1 + 4 + 1) * 32 * 4  # qkv, out, up and down, float32
    assert full + products / 2 < dots < full + 2 * products
    assert dots < none
