"""Who a process is, and how long it waits for the others, comes from its surroundings."""

import pytest

from gpt_jax.errors import InputError
from gpt_jax.parallel import hosts
from gpt_jax.parallel.hosts import Hosts, launched, seconds
from tests.parallel.launcher import launcher


@pytest.mark.parametrize(
    "error, waits", [(RuntimeError("no devices"), True), (ValueError("Gloo"), True), (InputError("a.b"), False)]
)
def test_an_error_of_jax_waits_for_the_watch_to_name_who_is_lost(monkeypatch, error, waits):
    slept = []
    monkeypatch.setattr(hosts, "_watch", object())
    monkeypatch.setattr(hosts.time, "sleep", slept.append)
    with pytest.raises(type(error)), hosts.naming_the_lost():
        raise error
    assert bool(slept) == waits


def test_auto_without_a_launcher_is_refused(monkeypatch):
    for name in launcher(1, 0):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="'auto' is not allowed here: there is no launcher"):
        launched(1)


def test_who_a_process_is_comes_from_its_launcher(monkeypatch):
    for name, value in launcher(1234, 1).items():
        monkeypatch.setenv(name, value)
    assert launched(1) == (Hosts("127.0.0.1:1234", 2, 1), [1])
    monkeypatch.setenv("SLURM_NTASKS", "two")
    with pytest.raises(InputError, match="launcher cannot be read"):
        launched(1)


@pytest.mark.parametrize("wrong", ["soon", "0", "-1", "nan", "1e9"])
def test_the_times_are_seconds(monkeypatch, wrong):
    monkeypatch.setenv("GPT_JAX_HOSTS_SILENCE", wrong)
    with pytest.raises(InputError, match="GPT_JAX_HOSTS_SILENCE"):
        seconds("GPT_JAX_HOSTS_SILENCE", 60)
