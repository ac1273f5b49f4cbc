"""Each optimizer against its formula, written out in float64 NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt_jax.config import OptimizerConfig
from gpt_jax.training.optimizer import Master, apply_gradients, decay_mask, init_optimizer, make_optimizer

SHAPES = {
    "wte": (5, 3),
    "block_0": {"attention": {"qkv": {"kernel": (3, 4), "bias": (3, 2, 2)}}, "ln_1": {"scale": (3,)}},
}


def arrays(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: scale * rng.normal(size=s), SHAPES, is_leaf=lambda s: isinstance(s, tuple))


def adamw(config, p, grads, decays):
    """Loshchilov and Hutter 2019, algorithm 2, at a constant rate of 0.1."""
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        m, v = config.b1 * m + (1 - config.b1) * g, config.b2 * v + (1 - config.b2) * g**2
        m_hat, v_hat = m / (1 - config.b1**t), v / (1 - config.b2**t)
        p = p - 0.1 * (m_hat / (np.sqrt(v_hat) + config.epsilon) + config.weight_decay * decays * p)
    return p


def openai_adam(config, p, grads, decays):
    """opt.py of openai/finetune-transformer-lm: lr_t = lr sqrt(1 - b2^t) / (1 - b1^t), also before the decay."""
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        m, v = config.b1 * m + (1 - config.b1) * g, config.b2 * v + (1 - config.b2) * g**2
        lr_t = 0.1 * np.sqrt(1 - config.b2**t) / (1 - config.b1**t)
        p = p - lr_t * (m / (np.sqrt(v) + config.epsilon) + config.weight_decay * decays * p)
    return p


@pytest.mark.parametrize(("name", "reference"), [("adamw", adamw), ("openai_adam", openai_adam)])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_optimizer_follows_its_formula(name, reference, clip_norm):
    config = OptimizerConfig(name=name, b1=0.9, b2=0.999, epsilon=1e-3, weight_decay=0.3, clip_norm=clip_norm)
    grads = [arrays(seed, scale=0.1 * seed) for seed in range(1, 6)]
    optimizer, params = make_optimizer(config), jax.tree.map(jnp.float32, arrays(0))
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for g in grads:
        direction, state = update(jax.tree.map(jnp.float32, g), state, params)
        params = jax.tree.map(lambda p, d: p - 0.1 * d, params, direction)
    if clip_norm is not None:
        norms = [np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(g))) for g in grads]
        assert max(norms) > 1 > min(norms)  # some are clipped, some are not
        grads = [jax.tree.map(lambda leaf, n=n: leaf * min(1, 1 / n), g) for g, n in zip(grads, norms, strict=True)]
    leaves = zip(
        jax.tree.leaves(params),
        jax.tree.leaves(arrays(0)),
        jax.tree.leaves(decay_mask(params)),
        zip(*(jax.tree.leaves(g) for g in grads), strict=True),
        strict=True,
    )
    for ours, start, decays, history in leaves:
        np.testing.assert_allclose(ours, reference(config, start, history, float(decays)), rtol=2e-4, atol=2e-5)


def test_biases_and_gains_do_not_decay_and_embeddings_do():
    """By name: the bias of q, k and v has three axes."""
    mask = decay_mask(arrays(0))
    assert mask["wte"] and mask["block_0"]["attention"]["qkv"]["kernel"]
    assert not mask["block_0"]["attention"]["qkv"]["bias"] and not mask["block_0"]["ln_1"]["scale"]


def test_openai_adams_decay_is_a_third_of_adamws_at_the_first_step():
    zero, params = {"w": jnp.zeros(1)}, {"w": jnp.ones(1)}
    sizes = {}
    for name in ("adamw", "openai_adam"):
        optimizer = make_optimizer(OptimizerConfig(name=name, weight_decay=1.0))
        direction: Any = optimizer.update(zero, optimizer.init(params), params)[0]
        sizes[name] = float(direction["w"][0])
    assert sizes["adamw"] == pytest.approx(1.0)
    assert sizes["openai_adam"] == pytest.approx(0.001**0.5 / 0.1, rel=1e-4)  # 0.316


def steps_in_bfloat16(config, weights, grads, rate):
    """The bfloat16 weights and the state after `grads`, all in one compiled scan."""
    params = {"kernel": jnp.asarray(weights, jnp.bfloat16)}

    def step(carry, g):
        return apply_gradients(config, carry[0], carry[1], {"kernel": g}, rate), None

    run = jax.jit(lambda gs: jax.lax.scan(step, (params, init_optimizer(config, params)), gs)[0])
    return run(jnp.asarray(grads, jnp.bfloat16))


@pytest.mark.parametrize(("name", "reference"), [("adamw", adamw), ("openai_adam", openai_adam)])
def test_after_a_spike_bfloat16_weights_take_the_steps_of_float64(name, reference):
    """3,000 steps after one gradient 100 times as large: the second moment has fallen to 5 % of the spike's."""
    config = OptimizerConfig(name=name, clip_norm=None, weight_decay=0.01)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (3001, 4)) * 2.0**-6
    signs[0] *= 128
    start = np.array([0.5, -1.0, 2.0, 0.25])
    params, state = steps_in_bfloat16(config, start, signs, np.float32(0.1))
    assert isinstance(state, Master)
    expected = reference(config, start, signs, decays=1.0)
    np.testing.assert_allclose(state.weights["kernel"], expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(params["kernel"], state.weights["kernel"].astype(jnp.bfloat16))
    moments = [leaf for leaf in jax.tree.leaves(state.adam) if leaf.shape == (4,)]
    assert len(moments) == 2 and all(leaf.dtype == jnp.float32 for leaf in moments)
    v = (0.001 * signs[:, :] ** 2 * 0.999 ** np.arange(3000, -1, -1)[:, None]).sum(axis=0)
    np.testing.assert_allclose(moments[1], v, rtol=1e-4)


def test_updates_below_a_bfloat16_weights_resolution_add_up():
    """1,000 updates of 1e-4 move a weight of 1 by 0.1, though each is a fortieth of its last bit."""
    config = OptimizerConfig(clip_norm=None, weight_decay=0.0)
    params, state = steps_in_bfloat16(config, [1.0], np.ones((1000, 1)), np.float32(1e-4))
    assert state.weights["kernel"][0] == pytest.approx(0.9, rel=1e-4)
    assert float(params["kernel"][0]) == pytest.approx(0.9, abs=2**-8)


def test_float32_weights_have_no_second_copy():
    params = {"kernel": jnp.ones(3)}
    assert not isinstance(init_optimizer(OptimizerConfig(), params), Master)
