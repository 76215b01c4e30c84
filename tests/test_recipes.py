"""The recipes for TensorBoard and MLflow in docs/training.md, each run once as it stands there."""

import re
import sqlite3

import pytest
from runs import CHECKOUT, python

import bpjit

pytestmark = pytest.mark.external

RECIPE = re.compile(r"^<!-- recipe: (\w+) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPES = dict(RECIPE.findall((CHECKOUT / "docs/training.md").read_text(encoding="utf-8")))


def test_tensorboard(tmp_path):
    python(RECIPES["TensorBoard"], cwd=tmp_path)
    (events,) = (tmp_path / "runs" / "first").iterdir()
    content = events.read_bytes()
    assert all(content.count(name) == 3 for name in (b"\x0fvalidation_loss", b"\x02W1", b"\x02W2"))  # of every epoch


def test_mlflow(tmp_path):
    python(RECIPES["MLflow"], cwd=tmp_path)
    with sqlite3.connect(tmp_path / "runs.db") as runs:
        metrics = runs.execute("select key, step, value from metrics").fetchall()
        parameters = dict(runs.execute("select key, value from params"))
        status = runs.execute("select status from runs").fetchall()
    runs.close()
    columns = {"loss", "seconds", "validation_loss", "validation_accuracy"}
    assert {(key, step) for key, step, _ in metrics} == {(name, epoch) for name in columns for epoch in (1, 2, 3)}
    assert parameters["seed"] == "0" and parameters["optimizer"] == "Adam(learning_rate=0.001)"
    assert status == [("FINISHED",)]
    (artifact,) = (tmp_path / "mlruns").rglob("net.safetensors")
    assert bpjit.load(artifact).sizes == (64, 32, 10)
