"""What a claim starts from: named where it is missing, made by --with-needs, or given."""

import dataclasses

import pytest

from experiments import cli
from experiments import experiment as experiments
from experiments.bases import PLAYS
from experiments.claims import aux_loss, plays
from experiments.claims.books import SMOKE
from experiments.commands import run
from experiments.experiment import Scale
from experiments.runs import starts
from experiments.terminal import make_console


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_missing_start_is_named_with_its_time_and_the_ways_to_have_it(elsewhere, capsys):
    assert cli.main(["run", "aux_loss", "--scale", "laptop"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "runs/plays/decoder/seed-0 is missing: plays decoder (scale laptop, about" in said
    assert "--with-needs" in said and "finetuning.weights=DIR" in said
    assert not (elsewhere / "runs/aux_loss").exists()


def test_what_is_there_or_is_given_is_not_missing(elsewhere):
    e = experiments.load("aux_loss")
    configs = e.runs("laptop", e.select("laptop"), [0]).values()
    assert starts.missing(e, "laptop", configs) == (PLAYS,)
    given = e.runs("laptop", e.select("laptop"), [0], {"finetuning.weights": "elsewhere"}).values()
    assert starts.missing(e, "laptop", given) == ()
    (elsewhere / PLAYS.folder).mkdir(parents=True)
    (elsewhere / PLAYS.folder / "result.json").touch()
    assert starts.missing(e, "laptop", configs) == ()


def test_every_start_that_a_claim_names_is_an_arm_of_another_claim():
    for name in experiments.names():
        e = experiments.load(name)
        for scale in e.scales.values():
            for start in scale.needs:
                config = experiments.load(start.claim).config(start.arm, start.scale, 0)
                assert config.kind == "pretraining" and starts.flops(start) > 0


def test_times_are_rough_words():
    assert [starts.seconds_in_words(s) for s in (0.2, 61, 1800, 9000)] == [
        "about 1 seconds",
        "about 61 seconds",
        "about 30 minutes",
        "about 2 hours",
    ]
    assert starts.measured_speed() > 1e8


def test_each_seed_has_a_start_of_its_own_and_needs_make_that_one(elsewhere, monkeypatch):
    """`ood` goes round the four pre-trainings that `mixtures` has of each arm."""
    e = experiments.load("ood")
    configs = e.runs("cpu", ["medium"], [8, 9, 10, 11, 13])
    folders = [f"runs/mixtures/sources4/seed-{n}" for n in (0, 1, 2, 3, 1)]
    assert [config.finetuning.weights for config in configs.values()] == folders
    lacking = starts.missing(e, "cpu", [configs["medium", 11]])
    assert [str(start) for start in lacking] == ["mixtures sources4 seed 3"]
    made = []
    monkeypatch.setattr(
        "experiments.runs.sweep.ways.make_runs", lambda chosen, *rest, **more: made.extend(chosen) or []
    )
    monkeypatch.setattr("experiments.corpora.catalogue.fetched", lambda *words: None)
    run.make(lacking[0], make_console(), None)
    assert [str(member.folder) for member in made] == ["runs/mixtures/sources4/seed-3"]
    assert made[0].config.training.seed == 3


@pytest.mark.slow
def test_needs_are_made_first_and_started_from(elsewhere, monkeypatch, capsys):
    tiny = {key: value for key, value in SMOKE.items() if key.startswith("model.")}
    small = {"finetuning.max_length": 48, "finetuning.validation_examples": 8, "finetuning.epochs": 1}
    laptop = dataclasses.replace(
        aux_loss.EXPERIMENT.scales["laptop"],
        overrides={
            **aux_loss.EXPERIMENT.scales["laptop"].overrides,
            **tiny,
            **small,
            "finetuning.task": "play_follows",
        },
        seeds=(0,),
        arms=("small-lambda0.5",),
    )
    for module, scale in ((plays, Scale({**SMOKE, "data.source": "plays_train"})), (aux_loss, laptop)):
        e = module.EXPERIMENT
        monkeypatch.setattr(module, "EXPERIMENT", dataclasses.replace(e, scales={**e.scales, "laptop": scale}))
    assert cli.main(["run", "aux_loss", "--scale", "laptop", "--with-needs"]) == 0
    assert "first plays decoder, which the runs start from" in capsys.readouterr().out
    assert (elsewhere / PLAYS.folder / "result.json").exists()
    assert (elsewhere / "runs/aux_loss/small-lambda0.5/seed-0/result.json").exists()
