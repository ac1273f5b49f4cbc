"""Each benchmark that has a quick mode runs in it from the checkout, as its docstring says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import PAGE, PARTS, with_table
from gpt_jax.disk import read_json
from gpt_jax.errors import InputError

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "benchmarks").glob("*.py"))
QUICK = [path.name for path in FILES if "--quick" in path.read_text(encoding="utf-8") and path.stem != "__main__"]


def run(name, *arguments):
    command, environment = [sys.executable, f"benchmarks/{name}", *arguments], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_benchmark_has_its_place_on_the_page_and_a_script():
    page = PAGE.read_text(encoding="utf-8")
    for name, part in PARTS.items():
        assert with_table(page, name, "a table") != page and (ROOT / "benchmarks" / part.script).is_file()


def test_a_table_replaces_what_stands_between_its_markers_alone():
    page = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter <!-- begin b --><!-- end b -->"
    assert with_table(page, "a", "new") == page.replace("old", "new")
    for damaged in ("nothing", "<!-- begin a -->", "<!-- end a -->"):
        with pytest.raises(InputError, match="begin a"):
            with_table(damaged, "a", "new")


def test_the_tables_of_the_accelerator_are_those_of_its_file():
    page = (ROOT / "docs" / "CHIPS.md").read_text(encoding="utf-8")
    rows = [tuple(filter(None, (cell.strip() for cell in line.split("|")))) for line in page.splitlines()]
    for part in read_json(ROOT / "benchmarks" / "h100.json")["results"].values():
        for row in part:
            assert tuple(map(str, row.values())) in rows, row


@pytest.mark.slow
def test_all_are_run_by_one_command_that_names_what_is_wrong():
    run_all = [sys.executable, "-m", "benchmarks", "--quick", "--only"]
    done = subprocess.run([*run_all, "scoring"], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0 and "1 of 1: scoring" in done.stdout and "| pairs" in done.stdout
    done = subprocess.run([*run_all, "speed"], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=900)
    assert done.returncode == 2 and "'speed': allowed: machine" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in QUICK if name != "prepare.py"])
def test_a_benchmark_runs_in_its_quick_mode(name):
    assert "|" in run(name, "--quick")


@pytest.mark.slow
def test_scoring_is_measured_beside_its_products():
    assert "| products alone" in run("scoring.py", "--lambada", "--quick")


@pytest.mark.slow
def test_preparation_is_measured_beside_its_peers_within_its_memory(tmp_path):
    """Speeds are told and not tested, since the machine may be busy; the memory does not depend on that."""
    assert "| whole preparation" in run("prepare.py", "--quick", "--json", str(tmp_path / "figures.json"))
    figures = read_json(tmp_path / "figures.json")["figures"]
    assert {"encoder", "whole preparation"} <= set(figures)
    assert all(row["MB/core-s"] > 0 for row in figures.values())
    assert figures["whole preparation"]["peak MiB"] < 1024
