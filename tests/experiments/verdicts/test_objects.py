"""`report --json`: every comparison as an object, with the figures of the report."""

import json

from experiments import experiment as experiments
from experiments.cli import main
from experiments.experiment import Comparison
from tests.experiments.made_up import made_up, write_run


def test_report_as_json_gives_every_comparison_and_writes_nothing(capsys, tmp_path, monkeypatch):
    shown = Comparison("old", "new", "higher", "absent", name="not measured", primary=False)
    e = made_up(comparisons=(*made_up().comparisons, shown))
    for seed, (new, old) in enumerate([(2.0, 2.1), (3.0, 3.11), (4.0, 4.09)]):
        write_run(tmp_path, e, "new", seed, new, "cpu")
        write_run(tmp_path, e, "old", seed, old, "cpu")
    monkeypatch.setattr(experiments, "load", lambda name: e)
    assert main(["report", str(tmp_path / "made_up"), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    asked = ("claim", "scale", "name", "primary", "metric", "stated", "margin", "n", "verdict")
    assert [first[key] for key in asked] == [
        "made_up",
        "cpu",
        "new - old",
        True,
        "validation/loss",
        "lower, by at least 0.01",
        0.01,
        3,
        "reproduced",
    ]
    assert [round(first[key], 4) for key in ("estimate", "low", "high")] == [-0.1, -0.1248, -0.0752]
    assert (second["estimate"], second["low"], second["verdict"], second["n"]) == (None, None, "no evidence", 0)
    assert not (tmp_path / "made_up" / "report.md").exists()


def test_report_all_reads_what_is_published_and_says_so(capsys, tmp_path):
    assert main(["report", "--all", "--json", "--out", str(tmp_path)]) == 0
    found = [one for one in json.loads(capsys.readouterr().out) if one["claim"] == "layer_norm" and one["primary"]]
    for scale, failed, pairs in (("cpu", 35, 4 + 4), ("laptop", 15, 5 + 5)):  # of post-LN's 45 runs; none of pre-LN's
        primary = {one["name"]: one for one in found if one["scale"] == scale}
        rate = primary["failure rate, whole grid"]
        assert rate["read"].endswith(f"results/layer_norm/{scale}.jsonl")
        assert (rate["n"], rate["estimate"], rate["verdict"]) == (45, -failed / 45, "reproduced")
        assert sum(one["n"] for one in primary.values() if one["metric"] == "validation/loss") == pairs
        assert all(one["noise"] > 0 for one in primary.values() if one["metric"] != "failed")


def test_a_report_of_nothing_says_where_it_looked(capsys, tmp_path):
    assert main(["report", "layer_norm", "--from", "runs", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "layer_norm: no finished run in " in error and "run layer_norm comes first" in error
