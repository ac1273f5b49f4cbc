"""`attend` chooses a computation; all of them are one function."""

import jax
import numpy as np
import pytest

from gpt_jax.attention import attend
from gpt_jax.attention import implementations as attention
from gpt_jax.attention.kernels import Choice
from gpt_jax.attention.patterns import Banded, Strided
from gpt_jax.errors import InputError

Q, K, V = jax.random.normal(jax.random.key(0), (3, 2, 21, 2, 4))


def softmax_by_pairs(pattern):
    """Each query's average of the values it may attend, in float64."""
    q, k, v = (np.asarray(x, np.float64) for x in (Q, K, V))
    out = np.zeros_like(q)
    mask = pattern.mask(21)
    for b, i, h in np.ndindex(2, 21, 2):
        keys = np.nonzero(mask[i])[0]
        weights = np.exp(k[b, keys, h] @ q[b, i, h] / 2)  # sqrt(d_head) = 2
        out[b, i, h] = weights @ v[b, keys, h] / weights.sum()
    return out


@pytest.mark.parametrize("implementation", ["mask", "block", "auto"])
@pytest.mark.parametrize("pattern", [Banded(5), Strided(4)], ids=repr)
def test_every_implementation_is_the_softmax_over_the_allowed_pairs(pattern, implementation):
    out = jax.jit(lambda: attend(Q, K, V, pattern, implementation))()
    np.testing.assert_allclose(out, softmax_by_pairs(pattern), atol=1e-5)


def test_a_kernel_is_used_where_one_applies_and_not_for_block(monkeypatch):
    monkeypatch.setattr(attention, "choose", lambda *arguments: Choice("splash"))
    monkeypatch.setattr(attention, "kernel_attention", lambda q, k, v, pattern, kernel: (pattern, kernel))
    for implementation in ("auto", "kernel"):
        assert attend(Q, K, V, Banded(5), implementation) == (Banded(5), "splash")
    assert attend(Q, K, V, Banded(5), "block").shape == Q.shape


def test_a_kernel_that_does_not_apply_is_an_error_that_says_why():
    with pytest.raises(InputError, match="no kernel for the platform 'cpu'"):
        attend(Q, K, V, Banded(5), "kernel")


def test_an_unknown_implementation_is_named_with_the_nearest_one():
    with pytest.raises(InputError, match="did you mean 'block'"):
        attend(Q, K, V, Banded(5), "blocks")  # type: ignore[arg-type]
