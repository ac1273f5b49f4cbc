"""The metrics file: whole lines, no not-a-number, and nothing past the step a run resumes at."""

import json

from gpt_jax.training.metrics_log import MetricsLog


def test_lines_past_the_resumed_step_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in (1, 2, 2, 3):
        log.write(step, 10 * step, {"train/loss": step / 2})
    log.close()
    MetricsLog(path, step=2).close()
    assert [line["step"] for line in MetricsLog(path, step=2).lines()] == [1, 2, 2]


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.write(1, 10, {"train/loss": 1.0})
    log.close()
    path.write_text(path.read_text(encoding="utf-8") + '{"step": 2, "tok', encoding="utf-8")
    log = MetricsLog(path, step=5)
    log.write(2, 20, {"train/loss": float("nan")})
    log.close()
    lines = [
        json.loads(line, parse_constant=lambda name: 1 / 0) for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert lines == [
        {"step": 1, "tokens": 10, "train/loss": 1.0},
        {"step": 2, "tokens": 20, "train/loss": None},
    ]
