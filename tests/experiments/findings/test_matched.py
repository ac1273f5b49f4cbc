"""Two models at one loss: read off the lines between checkpoints, at the worse one's last, paired by seed."""

import numpy as np
import pytest

from experiments.findings.matched import at, line
from experiments.runs.results import Result
from gpt_jax.errors import InputError


def run(arm, seed, iid, ood):
    return Result("", "domains", arm, seed, "cpu", {"iid": list(iid), "ood": list(ood)}, "")


@pytest.mark.parametrize("level", [1.0, 1.3, 2.0, 2.9])
def test_between_checkpoints_the_line_is_read(level):
    """ood = 3 iid + 1 on the checkpoints, so on the line too, whatever order the losses come in."""
    iid = [3.0, 1.8, 2.0, 1.0]
    assert at(level, iid, [3 * x + 1 for x in iid]) == pytest.approx(3 * level + 1)


def test_the_difference_is_at_the_worse_ones_last_loss():
    """ "a" ends at 1 and "b" at 2. At 2, "a" has 5 (or 6) on its way to 3 (or 4), and "b" 4.5."""
    results = [
        run("a", 0, (3, 1), (7, 3)),
        run("b", 0, (3, 2), (8, 4.5)),
        run("b", 1, (3, 2), (8, 4.5)),
        run("a", 1, (3, 1), (8, 4)),
    ]
    said = line(results, "a", "b", "iid", "ood", "nats")
    half = 12.7062 * np.std([0.5, 1.5], ddof=1) / 2**0.5  # Student's t with 1 degree of freedom
    assert f"(2.000 nats in the mean): +1.000 [{1 - half:+.3f}, {1 + half:+.3f}] nats, over 2 seeds" in said


def test_one_pair_has_no_interval():
    with pytest.raises(InputError, match="1 seeds have both"):
        line([run("a", 0, (3, 1), (7, 3)), run("b", 0, (3, 2), (8, 4.5))], "a", "b", "iid", "ood", "nats")
