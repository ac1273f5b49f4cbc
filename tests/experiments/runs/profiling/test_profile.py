"""Where time went: shares that add up, programs of one kind of work, and a recording that never ends a run."""

import io
import time

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from experiments.runs.profiling.breakdown import KINDS, divided, kind_by_name, kinds_of, read_breakdown
from experiments.runs.profiling.recording import Recording
from experiments.runs.screen import Screen
from tests.experiments.runs.real import assert_same_run, run

PROGRAM = """HloModule jit_step, is_scheduled=true, entry_computation_layout={(f32[2]{0})->f32[2]{0}}

%inner (p: f32[2,2]) -> f32[2,2] {
  %p = f32[2,2]{1,0} parameter(0)
  ROOT %dot.7 = f32[2,2]{1,0} dot(%p, %p), metadata={op_name="jit(step)/block_0/attention/qkv/dot_general"}
}

ENTRY %main (a: f32[2]) -> f32[2] {
  %a = f32[2]{0:T(128)} parameter(0)
  %fusion.1 = f32[2,2]{1,0} fusion(%a), calls=%inner, metadata={op_name="jit(step)/block_0/attention/transpose"}
  %dot.1 = f32[2]{0} dot(%a, %a), metadata={op_name="jit(step)/block_0/attention/...qd,...kd->...qk/dot_general"}
  %exp.1 = f32[2]{0} exponential(%a), metadata={op_name="jit(step)/block_0/attention/exp"}
  %exp.2 = f32[2]{0} exponential(%a), metadata={op_name="jit(step)/block_0/mlp/exp"}
  %sum = (f32[2]{0}, /*index=1*/f32[2]{0}) all-reduce-start(%a, %a), to_apply=%add
  %gemm = (f32[2]{0}, s8[4]{0}) custom-call(%a), custom_call_target="__cublas$gemm"
  %call.1 = f32[2]{0} custom-call(%a), custom_call_target="something"
  %while.1 = f32[2]{0} while(%a), condition=%c, body=%b
}
"""


def terminal():
    return Console(file=io.StringIO(), width=200)


def printed(console):
    return console.file.getvalue()


def recorded(step, x, folder, steps=3):
    recording = Recording(step, PROGRAM, steps, folder, Screen(None))
    for _ in range(2 + steps):
        recording(x)
    (path,) = folder.rglob("*.xplane.pb")
    return path


def test_each_instant_is_divided_among_what_runs_then():
    operations = [(0, 4e9, "products"), (2e9, 4e9, "collectives"), (1e9, 8e9, None), (9e9, 20e9, "memory-bound")]
    expected = {"products": 2, "collectives": 1, "other": 4, "idle": 1, "memory-bound": 1, "attention": 0}
    assert divided(operations, 1e9, 10e9) == pytest.approx(expected)


def test_instructions_are_told_apart_by_operation_and_by_the_module_they_come_from():
    kinds = kinds_of(PROGRAM)
    assert {name: kinds[name] for name in ("fusion.1", "dot.1", "exp.1", "exp.2", "sum", "gemm", "call.1")} == {
        "fusion.1": "products",
        "dot.1": "attention",
        "exp.1": "attention",
        "exp.2": "memory-bound",
        "sum": "collectives",
        "gemm": "products",
        "call.1": "other",
    }
    assert kinds["while.1"] is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ncclDevKernel_AllReduce_Sum_f32", "collectives"),
        ("cutlass_80_tensorop_s1688gemm", "products"),
        ("MemcpyD2H", "memory-bound"),
        ("something_new", "other"),
    ],
)
def test_operations_without_an_instruction_are_told_apart_by_name(name, kind):
    assert kind_by_name(name) == kind


def test_products_dominate_a_program_of_products(tmp_path):
    x = jnp.ones((700, 700))
    step = jax.jit(lambda x: x @ x).lower(x).compile()
    found = read_breakdown(recorded(step, x, tmp_path), step.as_text() or "")
    assert set(found.shares()) == set(KINDS) and sum(found.shares().values()) == pytest.approx(1)
    assert found.seconds["products"] > 10 * found.seconds["memory-bound"] and found.seconds["attention"] == 0
    assert found.shares()["products"] > 0.3  # the rest is idle where other processes have the cores


def test_a_program_that_sleeps_is_idle(tmp_path):
    x = jnp.ones((10, 10))
    step = jax.jit(lambda x: x @ x).lower(x).compile()

    def sleepy(x):
        time.sleep(0.1)
        return step(x)

    found = read_breakdown(recorded(sleepy, x, tmp_path), step.as_text() or "")
    assert found.shares()["idle"] > 0.8 and found.total >= 0.3


@pytest.mark.slow
def test_a_recorded_run_equals_one_without_and_says_where_its_time_went(finished, text, tmp_path):
    console = terminal()
    run(tmp_path, text, console=console, profile=3)
    shown = printed(console)
    assert "where the time of 3 steps went" in shown and all(kind in shown for kind in KINDS)
    assert_same_run(tmp_path, finished[0])


def test_a_recording_that_fails_is_a_warning(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jax.profiler, "start_trace", full)
    console, x = terminal(), 0
    recording = Recording(lambda x: x + 1, PROGRAM, 2, tmp_path, Screen(console))
    for _ in range(6):
        x = recording(x)
    recording.close()
    assert x == 6 and printed(console).count("--profile failed, the run goes on: OSError") == 1


def test_a_run_that_ends_in_its_warm_up_says_that_nothing_is_recorded(tmp_path):
    console = terminal()
    recording = Recording(lambda x: x + 1, PROGRAM, 2, tmp_path, Screen(console))
    recording(0)
    recording.close()
    assert "nothing is recorded" in printed(console)
