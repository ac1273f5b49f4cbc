"""One short file for each task, or family of tasks; `gpt_jax/evaluation/task.py` is the format."""
