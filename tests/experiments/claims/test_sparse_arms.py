"""The experiment `sparse_attention`: what equal time is."""

from experiments.experiment import load


def test_dense_attention_reads_what_it_can_in_the_time_of_strides_whatever_the_budget():
    e = load("sparse_attention")
    for factor in (1, 3):
        changes = {"training.train_tokens": 409_600 * factor}
        tokens = {arm: e.config(arm, "laptop", 1, changes).training.train_tokens for arm in e.select("laptop")}
        for arm, count in tokens.items():
            share = {"dense-short-1024": 0.5, "dense-short-4096": 0.28}.get(arm, 1)
            assert count == round(409_600 * factor * share), arm


def test_every_arm_of_a_length_differs_in_its_attention_or_its_tokens_alone():
    e = load("sparse_attention")
    for length in (1024, 4096):
        configs = [e.config(arm, "laptop", 1) for arm in e.select("laptop") if arm.endswith(str(length))]
        assert len(configs) == 4 and {c.model.context_length for c in configs} == {length}
        assert len({(c.optimizer, c.data, c.training.batch_tokens, c.model.d_model) for c in configs}) == 1
