"""`--deterministic` adds XLA's flags, once, and environment.json tells `verify` of them."""

import os

from experiments.command import carry_out
from experiments.commands.run import COMMAND
from experiments.determinism import FLAGS, make_deterministic, was_deterministic


def test_the_flags_are_added_once_to_those_that_are_there(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    make_deterministic()
    make_deterministic()
    assert os.environ["XLA_FLAGS"].split() == ["--xla_a=1", *FLAGS]
    assert was_deterministic({"xla_flags": os.environ["XLA_FLAGS"]})
    assert not was_deterministic({"xla_flags": "--xla_a=1"}) and not was_deterministic({"xla_flags": None})


def test_a_command_that_takes_the_option_sets_them_before_it_acts(monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert carry_out(COMMAND, ["no-such-claim", "--deterministic"], "python -m experiments run") == 2
    assert os.environ["XLA_FLAGS"].split() == list(FLAGS)
    assert "no-such-claim" in capsys.readouterr().err
