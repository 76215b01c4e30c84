"""Films: what is recorded is what the engine does, each step is explained by its equations, and the page plays it."""

import base64
import json
import re

import numpy as np
import pytest
from runs import bits, line, state_bits

import bpjit
import bpjit.explain.film
from bpjit.explain.text import number

pytestmark = pytest.mark.usefixtures("one_thread", "own_entries")

ROUNDING = 1e-13  # of float64: sums of a few numbers near 1, in another order
SINGLE = 1e-6  # the same of float32

XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])
OPTIMIZERS = [
    bpjit.SGD(learning_rate=0.5),
    bpjit.SGD(learning_rate=0.2, momentum=0.9, nesterov=True),
    bpjit.Adam(learning_rate=0.05),
]


def trainer(optimizer=None, sizes=(2, 3, 2), batch_size=3, dtype="float64", loss="cross_entropy", **options):
    """With mini-batches of 3 and 1 of the four samples."""
    net = bpjit.Network(sizes, activation="tanh", seed=0, dtype=dtype, loss=loss)
    return bpjit.Trainer(net, optimizer or OPTIMIZERS[0], **{"batch_size": batch_size, "seed": 5} | options)


def film(steps=7, optimizer=None, data=XOR, **options):
    return trainer(optimizer, **options).film(*data, steps)


# -------------------------------------------------------------------------------------- what is recorded


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: f"{type(one).__name__}{one.moments}")
def test_the_steps_are_those_of_the_trainer(optimizer):
    """Bit by bit, one by one; and the trainer that recorded them has not moved."""
    one, other = trainer(optimizer, dtype="float32"), trainer(optimizer, dtype="float32")
    before = state_bits(one)
    recorded = one.film(*XOR, steps=5)
    assert state_bits(one) == before
    for k in range(recorded.steps + 1):
        assert bits(recorded.network(k)) == bits(other.net)
        if k < recorded.steps:
            other.fit(*XOR, epochs=1, max_steps=1)
    one.fit(*XOR, epochs=3, max_steps=5)
    assert bits(one.net) == bits(recorded.network(5))
    assert sorted(np.concatenate(recorded.rows[:2]).tolist()) == [0, 1, 2, 3]
    assert [len(rows) for rows in recorded.rows] == [3, 1, 3, 1, 3] and recorded.epoch.tolist() == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: f"{type(one).__name__}{one.moments}")
def test_a_step_is_explained_by_its_equations(optimizer):
    """The trace of each step, by derivation.py, ends where the engine's next moment begins."""
    recorded = film(optimizer=optimizer)
    for k in range(recorded.steps):
        trace = recorded.trace(k)
        assert trace.C == pytest.approx(recorded.batch_loss[k], rel=ROUNDING)
        for l, (W, b) in enumerate(recorded.parameters(k + 1), start=1):
            assert np.abs(trace.updated_W[l] - W).max() < ROUNDING > np.abs(trace.updated_b[l] - b).max()
            dW, db = recorded.gradients(k)[l - 1]
            assert np.abs(trace.dW[l] - dW).max() < ROUNDING > np.abs(trace.db[l] - db).max()


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"batch_size": 2}, id="plain"),
        pytest.param({"batch_size": 1, "accumulate": 2, "l2": 0.1}, id="regularized", marks=pytest.mark.slow),
    ],
)
def test_it_goes_on_where_the_trainer_stands(more):
    """In mid-epoch, with moments, a schedule and a layer of its own rate; with a penalty, and added gradients."""
    one = trainer(OPTIMIZERS[2], layers={1: {"learning_rate": 0.3}}, schedule=lambda step: 0.9**step, **more)
    one.fit(*XOR, epochs=2, max_steps=3)
    recorded = one.film(*XOR, steps=4)
    assert recorded.learning_rate == pytest.approx([0.05 * 0.9**k for k in range(3, 7)])
    assert recorded.epoch.tolist() == [2, 3, 3, 4] and [len(rows) for rows in recorded.rows] == [2] * 4
    for k in range(4):
        trace = recorded.trace(k)
        assert trace.update.step == 4 + k
        for l, (W, _) in enumerate(recorded.parameters(k + 1), start=1):
            assert np.abs(trace.updated_W[l] - W).max() < ROUNDING
    one.fit(*XOR, epochs=4, max_steps=4)
    assert bits(one.net) == bits(recorded.network(4))


def test_losses_and_gradients():
    recorded = film(dtype="float32")
    for k in range(recorded.steps + 1):
        assert recorded.loss[k] == recorded.network(k).loss(*XOR)
    for k, rows in enumerate(recorded.rows):
        net = recorded.network(k)
        assert recorded.batch_loss[k] == pytest.approx(net.loss(XOR[0][rows], XOR[1][rows]), rel=SINGLE)
        norm = np.sqrt(sum((g.astype(float) ** 2).sum() for pair in recorded.gradients(k) for g in pair))
        assert recorded.gradient_norms[k] == pytest.approx(norm, rel=SINGLE)
    assert recorded.loss[-1] < recorded.loss[0]


def test_paths_and_the_largest_change():
    recorded = film()
    assert recorded.paths.shape == (8, 17) and recorded.index.shape == (17, 3)
    for column, (l, i, j) in enumerate(recorded.index):
        for k in (0, 7):
            W, b = recorded.parameters(k)[l - 1]
            assert recorded.paths[k, column] == (b[i] if j < 0 else W[i, j])
    change = recorded.largest_change(2)
    moved = [after - before for before, after in zip(recorded.paths[2], recorded.paths[3])]
    assert abs(change.value) == max(map(abs, moved))
    assert recorded.paths[3][recorded.index.tolist().index([change.l, change.i, -1 if change.j is None else change.j])]


def test_the_surface_is_what_the_network_answers():
    recorded = film(dtype="float32")
    surface = recorded.surface(size=9)
    assert surface.values.shape == (8, 9, 9, 2)
    assert surface.x[0] < 0 and surface.x[-1] > 1 and surface.y[0] < 0 and surface.y[-1] > 1
    for k, p, q in ((0, 0, 8), (7, 3, 5)):
        assert surface.values[k, p, q] == pytest.approx(
            recorded.network(k).predict([[surface.x[q], surface.y[p]]])[0], rel=SINGLE
        )


def test_names_may_be_arrays():
    recorded = film(steps=1)
    recorded.features, recorded.classes = np.array(["a", "b"]), np.array([3, 4])
    surface = json.loads(json.dumps(recorded.data()))["surface"]
    assert (surface["features"], surface["names"]) == (["a", "b"], ["3", "4"])
    recorded.features = ["a"]
    with pytest.raises(ValueError, match="features has 1 names, but 2 are needed"):
        recorded.data()


def test_the_surface_ends_where_numbers_do():
    recorded = film(
        steps=1, data=(np.array([[0.0, 0.0], [3.2e38, 1.0]]), np.array([0, 1])), dtype="float32", batch_size=2
    )
    assert recorded.surface(3).x[-1] == np.finfo("float32").max


def test_divergence_ends_it():
    one = line(rate=1e20, w=1.0)
    recorded = one.film([[1.0], [2.0]], [[3.0], [5.0]], steps=50)
    assert 0 < recorded.steps < 50 and "the film ends here: training diverged" in recorded.notes[0]
    assert np.isfinite(recorded.paths).all() and len(recorded.loss) == recorded.steps + 1
    data = json.loads(json.dumps(recorded.data(), allow_nan=False))
    assert data["notes"] == list(recorded.notes)
    assert "The film ends here" in recorded.table()


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (lambda: film(steps=0), ValueError, "steps must be at least 1, got 0"),
        (lambda: film(steps=1.5), TypeError, "steps must be an integer"),
        (lambda: film(data=(XOR[0][:, :1], XOR[1])), ValueError, "X has 1 columns, but the network has 2 inputs"),
        (lambda: film(data=(XOR[0], XOR[1][:2])), ValueError, "t has 2 rows for 4 samples"),
        (lambda: film(data=(XOR[0], None)), TypeError, "t is None"),
        (lambda: film(optimizer=bpjit.LBFGS()), ValueError, "LBFGS"),
        (lambda: film().network(8), ValueError, "k is 8, but the film has updates 0 … 7"),
        (lambda: film().trace(7), ValueError, "k is 7, but the film has steps 0 … 6"),
        (lambda: film().gradients(-1), ValueError, "k is -1, but the film has steps 0 … 6"),
        (lambda: film().surface(1), ValueError, "size must be at least 2, got 1"),
        (lambda: line(0.1).film([[1.0]], [[2.0]], 2).surface(), ValueError, "a surface has two inputs"),
        (lambda: film(steps=10**12), ValueError, "give fewer steps"),
    ],
)
def test_bad_requests(request_, error, message):
    with pytest.raises(error, match=re.escape(message)):
        request_()


def test_a_film_is_too_long_for_a_page(monkeypatch):
    monkeypatch.setattr("bpjit.explain.film_data.STEPS", 6)
    with pytest.raises(ValueError, match="the film has 7 steps, and a page plays 6: give fewer steps"):
        film().data()


# ------------------------------------------------------------------------------------------ what is shown


def test_the_table():
    recorded = film()
    recorded.row_numbers = np.array([10, 11, 12, 13])
    lines = recorded.table().splitlines()
    assert max(map(len, lines)) <= 80 and lines[0] == "7 steps of SGD(learning_rate=0.5)"
    steps = [each.split() for each in lines if re.match(r" +\d", each)]
    assert [int(each[0]) for each in steps] == list(range(1, 8))
    rows = ", ".join(str(10 + row) for row in recorded.rows[2])
    assert rows in lines[-5] and f"{recorded.loss[3]:#.4g}" in lines[-5]
    assert recorded.largest_change(2).name in lines[-5]
    assert str(recorded) == recorded.table() and repr(recorded).startswith("Film(7 steps of SGD")
    assert len(film(steps=100).table().splitlines()) < 50


def unpacked(text, kind, *shape):
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


def test_the_data_of_the_page():
    recorded = film()
    data = json.loads(json.dumps(recorded.data(), allow_nan=False))
    weights, rows, surface = data["weights"], data["rows"], data["surface"]
    assert (data["steps"], data["samples"], data["network"], data["descent"]) == (7, 4, [2, 3, 2], [1.0, 1.0])
    assert unpacked(weights["path"], "<f4", 8, 17) == pytest.approx(recorded.paths, rel=SINGLE)
    assert unpacked(weights["gradient"], "<f4", 7, 17) == pytest.approx(recorded.gradient_paths, rel=SINGLE)
    assert weights["index"] == recorded.index.tolist() and weights["all"] == 17
    numbers = unpacked(rows["numbers"], "<u4", -1)
    for k in range(7):
        assert numbers[rows["starts"][k] : rows["starts"][k + 1]].tolist() == recorded.rows[k].tolist()
    size = surface["size"]
    shares = unpacked(surface["pixels"], "<u2", 8, size, size) / 65535
    assert shares == pytest.approx(recorded.surface(size).values[..., 1], abs=1e-5)  # half a level
    assert (surface["kind"], surface["threshold"], surface["targets"]) == ("two", 0.5, XOR[1].tolist())


@pytest.mark.parametrize(
    ("loss", "outputs", "t", "kind"),
    [
        ("cross_entropy", 3, [0, 1, 2, 0], "classes"),
        ("binary_cross_entropy", 1, [0, 1, 1, 0], "two"),
        ("hinge", 1, [0, 1, 1, 0], "two"),
        ("squared_error", 1, [0.5, 1.0, -2.0, 0.0], "value"),
        ("squared_error", 2, [[0.5, 1.0], [0.0, 0.0], [-2.0, 0.0], [0.0, 1.0]], "value"),
        ("binary_cross_entropy", 2, [[0, 1], [1, 0], [1, 1], [0, 0]], "value"),
    ],
)
def test_surfaces_of_other_networks(loss, outputs, t, kind):
    recorded = film(data=(XOR[0], t), loss=loss, sizes=(2, 3, outputs))
    data = recorded.data()["surface"]
    assert data["kind"] == kind and len(data["targets"]) == 4
    size = data["size"]
    shares = unpacked(data["pixels"], "<u2", 8, size, size) / 65535
    values = recorded.surface(size).values
    if kind == "classes":
        assert (unpacked(data["classes"], "u1", 8, size, size) == values.argmax(axis=-1)).all()
        assert shares == pytest.approx(values.max(axis=-1), abs=1e-5)
    else:
        shown = data["low"] + shares * (data["high"] - data["low"])
        assert shown == pytest.approx(values[..., 0], abs=1e-4 * (data["high"] - data["low"]))
        assert kind == "value" or data["low"] < data["threshold"] < data["high"]
        assert set(data["targets"]) <= {0, 1} if kind == "two" else data["low"] <= min(data["targets"])


def test_a_large_network_shows_what_moved_most_and_stays_small():
    X = np.random.default_rng(0).normal(size=(1500, 2))
    recorded = film(steps=50, data=(X, (X[:, 0] > 0).astype(int)), sizes=(2, 40, 40, 2), batch_size=1500)
    data = recorded.data()
    assert len(data["weights"]["index"]) == 200 < data["weights"]["all"] == recorded.paths.shape[1]
    moved = np.abs(np.diff(recorded.paths, axis=0)).sum(axis=0)
    kept = [recorded.index.tolist().index(each) for each in data["weights"]["index"]]
    assert moved[kept].min() >= np.delete(moved, kept).max()
    assert len(json.dumps(data)) < 1.5e6 and len(data["surface"]["places"]) == 1000
    assert data["rows"]["sizes"] == [1500] * 50 and data["rows"]["starts"][-1] == 30_000


def test_the_step_of_other_rules_is_not_called_descent():
    assert film(optimizer=OPTIMIZERS[1]).data()["descent"] == [None, None]
    assert film(layers={1: {"learning_rate": 1.0}, 2: "frozen"}).data()["descent"] == [2.0, None]
    assert film(l2={1: 0.1}).data()["descent"] == [None, 1.0]
    assert film(clip_norm=1.0).data()["descent"] == [None, None]


# --------------------------------------------------------------------------------- the page, in a browser


@pytest.fixture(scope="module")
def browser():
    from browser import chromium

    with chromium() as browser:
        yield browser


class Page:
    """The film of a page that is open in the browser."""

    def __init__(self, browser, path, size=(1280, 900)):
        browser.open(path, size)
        self.browser = browser

    def all(self, selector):
        return self.browser.all(f"#film {selector}")

    def one(self, selector):
        (found,) = self.all(selector)
        return found

    def button(self, text):
        (found,) = [each for each in self.all("button") if text in each.text]
        return found

    @property
    def k(self):
        return int(self.one("input[type=range]").get_property("value"))

    @property
    def facts(self):
        return dict(zip([each.text for each in self.all("dt")], [each.text for each in self.all("dd")]))

    @property
    def equation(self):
        return self.all(".film-weight span")[0].text

    def show(self, k):
        self.browser.run(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
            self.one("input[type=range]"), k,
        )  # fmt: skip

    def pixels(self, which):
        """What a canvas shows, as a hash."""
        return hash(self.browser.run("return arguments[0].toDataURL()", self.all("canvas")[which]))

    def press(self, element, *keys):
        for key in keys:
            element.send_keys(key)


def choose(page, l, i, j):
    page.browser.run(
        "document.dispatchEvent(new CustomEvent('bpjit:select', {detail: {name: 'dW', l: arguments[0], i: arguments[1],"
        " j: arguments[2]}}))",
        l, i, j,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Of three films: their pages, beside them."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bpjit.engine.plan.available_cpus", lambda: 1)
        blobs = rng.normal(size=(40, 2)) + 3 * np.eye(4)[np.arange(40) % 4][:, :2]
        films = {
            "xor": film(steps=12, batch_size=2),
            "blobs": film(steps=5, data=(blobs, np.arange(40) % 4), sizes=(2, 4, 4), optimizer=OPTIMIZERS[2]),
            "wide": film(steps=4, data=(rng.normal(size=(9, 4)), rng.normal(size=9)), sizes=(4, 9, 1),
                         loss="squared_error"),
        }  # fmt: skip
        for name, each in films.items():
            each.classes = [f"<b>{name}</b>", "long" * 100, *[f"<b>{name}</b>"] * 2]
            each.html(folder / f"{name}.html", k=1)
    return {name: (each, folder / f"{name}.html") for name, each in films.items()}


@pytest.mark.external
def test_the_page_shows_the_numbers_of_the_film(browser, pages):
    recorded, path = pages["xor"]
    page = Page(browser, path)
    assert page.k == 0 and page.facts["loss of all samples"] == number(recorded.loss[0])
    choose(page, 1, 2, 0)
    assert page.equation.endswith(f"= {number(recorded.parameters(0)[0][0][2, 0])}")
    for k in (1, 7, 12):
        page.show(k)
        facts = page.facts
        rows = ", ".join(map(str, recorded.rows[k - 1]))
        assert facts[f"mini-batch, in epoch {recorded.epoch[k - 1]}"] == f"2 rows: {rows}"
        assert facts["its loss before the step"] == number(recorded.batch_loss[k - 1])
        assert facts["loss of all samples"] == f"{number(recorded.loss[k - 1])} → {number(recorded.loss[k])}"
        assert facts["norm of the gradient"] == number(recorded.gradient_norms[k - 1], 3)
        before, after = (recorded.parameters(moment)[0][0][2, 0] for moment in (k - 1, k))
        slope = number(recorded.gradients(k - 1)[0][0][2, 0])
        slope = f"({slope})" if slope.startswith("−") else slope
        assert page.equation.endswith(f"= {number(before)} − 0.5 × {slope} = {number(after)}")
    assert browser.messages() == []


@pytest.mark.external
def test_it_plays_and_steps(browser, pages):
    from browser import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    page = Page(browser, pages["xor"][1])
    pictures = [page.pixels(which) for which in range(4)]
    page.button("Step").click()
    page.button("Step").click()
    assert page.k == 2 and page.button("Step").is_enabled()
    assert all(page.pixels(which) != before for which, before in enumerate(pictures))  # every figure follows
    page.button("Back").click()
    page.button("Back").click()
    assert page.k == 0 and [page.pixels(which) for which in range(4)] == pictures
    assert not page.button("Back").is_enabled()
    page.show(9)
    page.one("select").send_keys("30")
    page.button("Play").click()
    WebDriverWait(browser.driver, 10).until(lambda _: page.k == 12)
    assert page.button("Play") and not page.button("Step").is_enabled()  # it has stopped by itself
    page.one("select").send_keys("2")
    page.button("Play").click()  # from the start again
    WebDriverWait(browser.driver, 10, 0.1).until(lambda _: 0 < page.k < 12)
    page.button("Pause").click()
    k = page.k
    loss = page.all("canvas")[0]
    page.press(loss, Keys.ARROW_LEFT)
    assert page.k == max(0, k - 1)
    page.press(loss, Keys.END)
    assert page.k == 12
    page.press(loss, Keys.HOME, Keys.ARROW_RIGHT)
    assert page.k == 1
    assert page.one("input[type=range]").get_attribute("aria-valuetext").startswith("1 of 12 updates, loss ")
    assert browser.messages() == []


@pytest.mark.external
def test_a_weight_is_chosen_and_told_to_the_page(browser, pages):
    from browser import Keys

    recorded, path = pages["xor"]
    page = Page(browser, path)
    browser.run(
        "window.told = []; document.addEventListener('bpjit:select', (event) => window.told.push(event.detail))"
    )
    panel = page.all(".film-panels canvas")[0]
    of_layer = recorded.index[recorded.index[:, 0] == 1]
    values = recorded.paths[0][: len(of_layer)]
    for _ in of_layer:
        page.press(panel, Keys.ARROW_UP)
    most = of_layer[values.argmax()]
    assert browser.run("return window.told.at(-1)") == {
        "name": "W", "l": 1, "i": int(most[1]), "j": int(most[2]),
    }  # fmt: skip
    assert page.equation.endswith(f"= {number(values.max())}")
    assert browser.run("return [page.term.name, page.term.index]") == ["W", {
        "l": 1, "i": int(most[1]), "j": int(most[2]),
    }]  # fmt: skip
    browser.run("page.open({name: 'db', index: {l: 2, i: 1}})")
    assert "the bias of unit 1 of layer 2" in page.one(".film-weight").text
    browser.run("page.open({name: 'z', index: {l: 2, i: 0, s: 0}})")  # no parameter
    assert "the bias of unit 1 of layer 2" in page.one(".film-weight").text
    panel.click()  # in its middle
    told = browser.run("return window.told.at(-1)")
    assert told["l"] == 1 and f"of layer 1, {'in step' if page.k else 'before'}" in page.one(".film-weight").text
    assert browser.messages() == []


@pytest.mark.external
@pytest.mark.parametrize("name", ["xor", "blobs", "wide"])
def test_it_fits_a_phone_and_escapes_names(browser, pages, name):
    from browser import PHONE

    recorded, path = pages[name]
    page = Page(browser, path, PHONE)
    page.show(3)
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    assert len(page.all("canvas")) == (4 if name != "wide" else 3) and not page.all("b")
    assert all(0 < each.size["width"] <= 390 < each.size["height"] * 4 for each in page.all("canvas"))
    assert name == "wide" or f"<b>{name}</b>" in page.one(".film-legend").text
    assert all(each.get_attribute("aria-label") for each in page.all("canvas"))
    assert browser.messages() == []
    assert all(url.startswith(("file:", "data:", "about:")) for url in browser.requests())
    assert path.stat().st_size < 3e6 and recorded.steps
