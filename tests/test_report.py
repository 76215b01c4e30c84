"""The HTML page of a run: what is in it, what never is, and how large it gets."""

import math
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from test_assessment import answers

import bpjit
from bpjit import assessment, report

NOTHING_BETWEEN = {"meta", "path", "use", "br", "image"}
HISTORY = {
    "loss": [2.0, 0.5, 0.05],
    "validation_loss": [1.9, 0.6, 0.2],
    "validation_accuracy": [0.5, 0.9, 0.95],
    "seconds": [0.1, 0.1, 0.1],
}
HOSTILE = "<script>alert('x')</script>\"&\x1b\x00"


class Page(HTMLParser):
    """A page that is read: its elements in order, all attributes, the text of each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.texts = [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in NOTHING_BETWEEN:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        if tag not in NOTHING_BETWEEN:
            assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def values(self, name):
        return [value for key, value in self.attributes if key == name]


def made(**parts):
    return Page(report.page(**{"title": "a run", "rows": {"epochs": "3"}} | parts))


@pytest.fixture(scope="module")
def run():
    """A page with all there is for a classifier; drawing takes most of the time."""
    found = assessment.classification(*answers(300, 3), ["setosa", "versicolor", HOSTILE])
    net = bpjit.Network([4, 8, 3], seed=0)
    text = report.page(
        title=f"irises {HOSTILE}",
        rows={"data": HOSTILE, "split": "2 to 1"},
        history=HISTORY,
        assessment=found,
        net=net,
        features=["sepal", HOSTILE],
        notes=[HOSTILE, "one row was left out"],
    )
    return text, found


@pytest.fixture(scope="module")
def large():
    """A page on a regression with 100,000 rows, and its assessment."""
    random = np.random.default_rng(0)
    t = random.gamma(2, 1e5, 100_000)
    found = assessment.regression(t + 1e4 * random.normal(size=len(t)), t, target="price in €")
    return report.page(title="prices", rows={}, assessment=found), found


def test_the_page_holds_all_that_it_was_given(run):
    text, found = run
    page = Page(text)
    assert page.tags.count("svg") == 2
    assert page.texts["h2"] == [
        "Summary",
        "Notes",
        "Learning curves",
        "Confusion matrix",
        "Classes",
        "Mistakes",
        "Network",
    ]
    scores = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert scores["accuracy"] == f"{found.accuracy:.4f}" and scores["rows tested"] == "300"
    assert "baseline accuracyalways" in "".join(page.texts["dt"])
    cells = [int(cell) for cell in page.texts["td"][3:] if re.fullmatch(r"\d+", cell)]
    with_sums = np.column_stack([found.confusion, found.confusion.sum(axis=1)])
    assert cells[:12] == with_sums.ravel().tolist()
    shares = found.confusion / found.confusion.sum(axis=1, keepdims=True)
    shades = [float(style[4:]) for style in page.values("style") if style.startswith("--s:")]
    assert shades == [round(share, 3) for share in shares.ravel().tolist() if share]
    assert page.values("class").count("right") == 3
    assert page.texts["li"][-1] == "one row was left out"
    assert "Network(4-8-3, relu, softmax, cross_entropy, float32)" in text
    assert page.texts["summary"] == ["2 inputs"]
    footer = page.texts["footer"][0]
    assert bpjit.__version__ in footer and f"numpy {np.__version__}" in footer and re.match(r"\d{4}-\d\d-\d\d ", footer)


def test_the_page_needs_nothing_else_and_runs_nothing(run, large):
    for text in (run[0], large[0]):
        page = Page(text)
        assert not re.search(r"https?:|//[a-z]", text)
        assert not {"script", "link", "iframe", "object", "img", "base", "form"} & set(page.tags)
        assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
        assert all(link.startswith("#") for link in page.values("href"))
        assert "default-src 'none'" in page.values("content")[0]


def test_names_are_shown_as_they_are(run):
    page = Page(run[0])
    escaped = "<script>alert('x')</script>\"&\\x1b\\x00"
    for tag in ("title", "h1", "li", "td", "th", "details"):
        assert any(escaped in text for text in page.texts[tag]), tag
    assert "\x1b" not in run[0] and "\x00" not in run[0]


def test_what_is_named_in_a_plot_is_there_once(run):
    page = Page(run[0])
    ids, links = page.values("id"), {link[1:] for link in page.values("href")}
    assert len(ids) == len(set(ids)) > 10
    assert links <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", run[0])) <= set(ids)


def test_plots_have_the_colours_of_the_page(run):
    svg = "".join(re.findall(r"<svg.*?</svg>", run[0], re.DOTALL))
    assert "var(--blue)" in svg and "var(--orange)" in svg and "currentColor" in svg
    assert not re.search("#[0-9a-f]{6}", svg), "no colour of its own, and no background"
    assert re.search(r"prefers-color-scheme: dark.*--blue", run[0], re.DOTALL)


def test_a_page_on_many_rows_stays_small(large):
    text, found = large
    assert len(text.encode()) < 2**20
    page = Page(text)
    assert page.tags.count("svg") == 2 and page.texts["h2"] == ["Residuals"]
    shown = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert shown["root mean squared error"] == found.rows()["root mean squared error"]
    assert f"{found.largest[0].row:,}" in page.texts["td"]


def test_a_page_on_many_classes_stays_small():
    names = [f"{HOSTILE} {number} {'of very many ' * 20}" for number in range(1000)]
    found = assessment.classification(*answers(5000, 1000, clear=5.0), names)
    net = bpjit.Network([2] * 30, seed=0)
    text = report.page(
        title="classes", rows={}, assessment=found, net=net, features=names * 10, notes=[name[:500] for name in names]
    )
    page = Page(text)
    assert len(text.encode()) < 2**20
    assert "1,000 classes are too many for a matrix" in text and "Those 50 of 1,000 classes" in text
    assert len(page.texts["li"]) == 51 and re.fullmatch(r"and 95\d more notes", page.texts["li"][-1])
    assert page.texts["summary"] == ["10,000 inputs"] and "and 9,500 more" in page.texts["details"][0]
    assert page.texts["h2"] == ["Notes", "Confused classes", "Classes", "Mistakes", "Network"]


def test_every_part_may_be_missing():
    assert made().texts["h2"] == ["Summary"]
    assert made(rows={}).tags.count("h2") == 0
    assert made(history={"loss": [], "seconds": []}).tags.count("svg") == 0
    assert made(history={"loss": [math.nan]}).tags.count("svg") == 0
    assert made(history=bpjit.History()).tags.count("svg") == 0
    assert made(net=bpjit.Network([2, 1], loss="squared_error", seed=0)).texts["h2"] == ["Summary", "Network"]
    right = assessment.classification(np.eye(3), range(3), "abc")
    assert made(assessment=right).texts["h2"] == ["Summary", "Confusion matrix", "Classes"]
    many = assessment.classification(np.eye(99), range(99), range(99))
    assert made(assessment=many).texts["h2"] == ["Summary", "Classes", "Notes"][:2]


def test_numbers_beyond_a_plot_have_their_table():
    page = made(assessment=assessment.regression([1e308, -1e308], [-1e308, 1e308]))
    assert page.tags.count("svg") == 0 and "Residuals" in page.texts["h2"]


def test_one_row():
    assert made(assessment=assessment.regression([0.0], [1e30])).tags.count("svg") == 2
    page = made(assessment=assessment.regression([1.0], [1.0]))
    assert page.tags.count("svg") == 2
    assert page.texts["li"] == ["R² is not defined: there is one row"]
    page = made(assessment=assessment.classification([0.7], [1], ["no", "yes"]))
    assert "no" in page.texts["th"] and page.texts["li"][-1].startswith("ROC AUC is not defined")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.html"
    report.write(path, title="first", rows={})
    first = path.read_bytes()
    assert first.startswith(b"<!DOCTYPE html>") and list(tmp_path.iterdir()) == [path]
    with pytest.raises(TypeError, match=r"assessment must be what bpjit\.assessment gives"):
        report.write(path, title="second", rows={}, assessment="good")
    with pytest.raises(OSError, match="no such folder"):
        report.write(tmp_path / "no" / "run.html", title="second", rows={})

    def full(descriptor):
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="the disk is full"):
        report.write(path, title="second", rows={})
    assert path.read_bytes() == first and list(tmp_path.iterdir()) == [path]


def test_a_missing_matplotlib_is_named_with_what_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'bpjit\[plot\]'"):
        report.write(tmp_path / "run.html", title="a run", rows={}, history=HISTORY)
    assert list(tmp_path.iterdir()) == []
