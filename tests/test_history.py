"""History: columns with one entry an epoch."""

import json
import math
import pickle
import sys

import pytest

from bpjit import History


@pytest.fixture
def history():
    history = History()
    history.append({"loss": 0.5, "seconds": 0.25})
    history.append({"loss": 0.25, "seconds": 0.25})
    return history


def test_it_is_a_mapping_of_lists(history):
    assert dict(history) == {"loss": [0.5, 0.25], "seconds": [0.25, 0.25]}
    assert list(history) == ["loss", "seconds"]
    assert (len(history), history.epochs, History().epochs) == (2, 2, 0)
    assert "validation_loss" not in history
    with pytest.raises(KeyError):
        history["validation_loss"]
    assert repr(history) == "History(2 epochs: loss 0.25, seconds 0.25)"
    assert repr(History()) == "History(0 epochs)"


def test_a_notebook_shows_the_first_and_the_last_epochs(history):
    page = history._repr_html_()
    assert "<b>2 epochs</b>" in page and page.count("<tr") == 3 and ">0.25<" in page
    for k in range(98):
        history.append({"loss": 1.0 + k, "validation_loss": math.nan})
    page = history._repr_html_()
    assert page.count("<tr") == 1 + 5 + 1 + 5
    assert ">validation loss<" in page and ">5<" in page and ">6<" not in page and ">96<" in page and ">98<" in page


def test_columns_that_come_and_go(history):
    history.amend({"validation_loss": 0.75})
    history.append({"loss": 0.125, "other": 1.0})
    assert history["validation_loss"] == pytest.approx([math.nan, 0.75, math.nan], nan_ok=True)
    assert history["other"] == pytest.approx([math.nan, math.nan, 1.0], nan_ok=True)
    assert history["seconds"] == pytest.approx([0.25, 0.25, math.nan], nan_ok=True)
    assert history.record(1) == pytest.approx(
        {"loss": 0.25, "seconds": 0.25, "validation_loss": 0.75, "other": math.nan}, nan_ok=True
    )


def test_it_forgets_what_came_after_an_epoch(history):
    history.amend({"validation_loss": 0.75})
    history.cut(1)
    assert history.epochs == 1
    assert all(len(values) == 1 for values in history.values())
    history.cut(5)
    assert history.epochs == 1


def test_columns_for_json_and_back(history):
    history.amend({"validation_loss": math.inf, "validation_accuracy": -math.inf})
    columns = json.loads(json.dumps(history.to_columns(), allow_nan=False))
    again = History.from_columns(columns, 2)
    assert {name: list(map(str, values)) for name, values in again.items()} == {
        name: list(map(str, values)) for name, values in history.items()
    }  # as text, in which NaN equals NaN
    assert again["loss"] == history["loss"]
    assert History.from_columns({}, 0).epochs == 0


@pytest.mark.parametrize(
    ("columns", "epochs"),
    [
        ({"loss": [1.0]}, 2),
        ({"loss": [1.0]}, 0),
        ({"loss": [1.0, 2.0], "seconds": [1.0]}, 2),
        ({"seconds": [1.0, 2.0]}, 2),
        ({}, 2),
    ],
)
def test_columns_of_another_number_of_epochs(columns, epochs):
    with pytest.raises(ValueError, match=f"does not have {epochs} epochs"):
        History.from_columns(columns, epochs)


def test_it_does_not_share_its_lists_with_what_it_was_made_of():
    columns = {"loss": [1.0]}
    history = History(columns)
    history.append({"loss": 0.5})
    assert columns == {"loss": [1.0]}


def test_it_as_a_data_frame(history, monkeypatch):
    history.amend({"validation_loss": 0.75})
    frame = history.to_frame()
    assert list(frame.columns) == ["loss", "seconds", "validation_loss"]
    assert (frame.index.name, list(frame.index)) == ("epoch", [1, 2])
    assert frame.loc[2].to_dict() == history.record(1)
    assert math.isnan(frame["validation_loss"][1])
    assert set(frame.dtypes.astype(str)) == {"float64"}
    assert History().to_frame().empty
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'bpjit\[pandas\]'"):
        history.to_frame()


def test_a_column_in_every_epoch(history):
    history.fill("learning_rate", 0.1)
    history.fill("loss", 9.0)
    assert (history["learning_rate"], history["loss"]) == ([0.1, 0.1], [0.5, 0.25])


def test_it_pickles(history):
    history.compile_seconds = 1.5
    again = pickle.loads(pickle.dumps(history))
    assert dict(again) == dict(history)
    assert again.compile_seconds == 1.5
