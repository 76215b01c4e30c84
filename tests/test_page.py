"""The page of a trace: what is in its file, and what a browser shows of it."""

import base64
import hashlib
import html as html_module
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from runs import classes

import bpjit
from bpjit.engine.optimizers import OPTIMIZERS
from bpjit.explain import Trace, page, walk
from bpjit.explain.page import document
from bpjit.explain.update import Update

pytestmark = pytest.mark.usefixtures("one_thread", "own_entries")

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\"&"
ROUNDING = 1e-12  # of float64: sums of few numbers near 1 in another order, and another exp


class Elements(HTMLParser):
    """Tags with their attributes, and the text of scripts by their id."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data


def network(**options):
    sizes = options.pop("sizes", [3, 4, 5, 2])
    return bpjit.Network(sizes, **({"activation": "tanh", "dtype": "float64", "seed": 0} | options))


def traced(samples=3, optimizer=None, **options):
    net = network(**options)
    X, t = classes(samples=samples, columns=net.sizes[0], outputs=net.sizes[-1])
    return net.trace(X, t if net.output == "softmax" else np.eye(net.sizes[-1])[t], optimizer)


def data_of(text):
    (found,) = [text for attributes, text in Elements(text).scripts if attributes.get("id") == "data"]
    return json.loads(found)


def unpacked(packed):
    size = int(np.prod(packed["shape"]))
    raw = base64.b64decode(packed["numbers"]) if packed["numbers"] else bytes(8 * size)
    return np.frombuffer(raw, f"<{packed['dtype']}", size).astype(float).reshape(packed["shape"])


# ------------------------------------------------------------------------------------------------- the file


def test_the_page_needs_nothing_else():
    text = page.html(traced())
    found = Elements(text)
    for address in re.findall(r"https?://[^\s'\"]*", text):
        assert address.startswith("http://www.w3.org/")  # names of vocabularies
    assert not {"link", "iframe", "object", "img", "base"} & {tag for tag, _ in found.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name == "src" or name.startswith("on")]
    (policy,) = [each["content"] for tag, each in found.tags if tag == "meta" and "http-equiv" in each]
    assert policy.startswith("default-src 'none'; ")
    scripts = [script for attributes, script in found.scripts if attributes.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-(.*?)'", policy) == hashes  # no other script would run
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_no_name_of_the_scripts_is_taken_twice():
    names = []
    for script in (*document.SCRIPTS, *document.FILM):
        source = document.read(script)
        assert source.startswith("'use strict';\n// ")
        names += re.findall(r"^(?:function\*?|class|let|const) (\w+)", source, re.MULTILINE)
    assert len(names) == len(set(names)) > 100


def test_the_numbers_are_those_of_the_trace():
    trace = traced(optimizer=bpjit.Adam())
    numbers = data_of(page.html(trace))["numbers"]
    for name in ("x", "t"):
        np.testing.assert_array_equal(unpacked(numbers[name]), getattr(trace, name))
    for name in ("z", "a", "delta", "W", "b", "db", "updated_b"):
        for packed, array in zip(numbers[name], getattr(trace, name), strict=True):
            np.testing.assert_array_equal(unpacked(packed), array)
    assert unpacked(numbers["C"])[0] == trace.C


def test_numbers_that_json_has_not():
    net = network(sizes=[3, 2], loss="squared_error", output="identity")
    net.set_parameters([(np.full((2, 3), 1e200), np.zeros(2))])
    with np.errstate(all="ignore"):
        trace = net.trace(np.full(3, 1e200), np.zeros(2))
        data = data_of(page.html(trace))
    assert np.isposinf(unpacked(data["numbers"]["C"])).all()


def test_a_step_without_biases():
    net = network(bias=False)
    X, t = classes(samples=2)
    content = data_of(page.html(net.trace(X, t, bpjit.SGD(0.1, momentum=0.5))))
    assert content["rules"]["b"] == [None] * 4 and content["rules"]["W"][3]["moments"]


def test_names_are_text():
    trace = traced()
    trace.notes = (HOSTILE,)
    text = page.html(trace)
    assert HOSTILE not in text and "<script>alert" not in text
    assert data_of(text)["notes"] == [HOSTILE]
    assert len([tag for tag, _ in Elements(text).tags if tag == "script"]) == len(document.SCRIPTS) + 1


def large(samples=4, dtype="float32"):
    """A trace of 784-128-10 with moments of AMSGrad, which has the most."""
    net = bpjit.Network([784, 128, 10], seed=0, dtype=dtype)
    random = np.random.default_rng(0)
    optimizer = bpjit.Adam(amsgrad=True)
    moments = [
        (
            [np.zeros((0, 0)), *(1e-3 * random.random(W.shape) for W, _ in net.parameters())],
            [np.zeros(0), *(1e-3 * random.random(b.shape) for _, b in net.parameters())],
        )
        for _ in range(optimizer.moments)
    ]
    x = random.random((samples, 784)) * (random.random((samples, 784)) < 0.2)
    return Trace(net, x, np.arange(samples) % 10, Update(optimizer, 7, moments=moments))


def test_a_page_of_mnist_is_small():
    assert len(page.html(large(samples=1)).encode()) < 3e6


def test_a_network_that_is_too_large_for_a_page(monkeypatch):
    monkeypatch.setattr(document, "MOST_WEIGHTS", 41)
    with pytest.raises(ValueError, match="the network has 42 weights: a page holds at most 41"):
        page.html(traced())


def test_the_page_as_a_file_and_in_a_notebook(tmp_path):
    trace = traced(samples=1)
    text = page.html(trace)
    trace.html(tmp_path / "trace.html")
    assert (tmp_path / "trace.html").read_text(encoding="utf-8") == text
    (source,) = re.findall(r'<iframe srcdoc="([^"]*)"', trace._repr_html_())
    assert html_module.unescape(source) == text
    with pytest.raises(OSError, match="no such folder"):
        trace.html(tmp_path / "no" / "trace.html")


# ------------------------------------------------------------------------------------------------ a browser


@pytest.fixture(scope="module")
def browser():
    from browser import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the page of a trace."""

    def opened(trace, film=None, **how):
        path = tmp_path / "trace.html"
        page.write(path, trace, film)
        browser.open(path, **how)
        return browser

    yield opened
    assert browser.messages() == []  # no error, and nothing that the policy had to keep out


def plain(mathml):
    """MathML without attributes."""
    return re.sub(r"<(\w+)[^>]*>", r"<\1>", mathml).replace("&nbsp;", "\u00a0")


def some_terms(trace, count, seed=0):
    """(name, index) of terms of all kinds, drawn by lot."""
    random = np.random.default_rng(seed)
    found = [("C", {})]
    names = ["z", "a", "delta", "dz_dw", "dC_dw", "dW", "W"] + ["dz_db", "db", "b"] * trace.net.bias
    for k in range(count):
        name = names[k % len(names)]
        l = int(random.integers(0 if name == "a" else 1, trace.L + 1))
        index = {"l": l, "i": int(random.integers(trace.sizes[l]))}
        if name in ("dW", "W", "dz_dw", "dC_dw"):
            index["j"] = int(random.integers(trace.sizes[l - 1]))
        if name in ("z", "a", "delta", "dz_dw", "dC_dw", "dz_db"):
            index["s"] = int(random.integers(trace.S))
        found.append((name, index))
    return found


TERMS = """
return arguments[0].map(([name, index]) => {
  const term = termOf(page.trace, name, index);
  const number = (value) => String(value);
  const formula = term.numbers ? [term.target, term.relation, term.here, '=', term.numbers]
    : [term.target, term.relation, term.here];
  return {
    general: math(term.general.target, term.general.relation, term.general.expression).outerHTML,
    formula: math(...formula).outerHTML,
    value: number(term.value),
    source: term.source,
    marks: term.marks,
    notes: term.notes,
    parts: term.parts.map((part) => [number(part.value), part.others]),
    where: term.where.map((line) => number(line.value)),
  };
});
"""


def assert_same_terms(browser, trace, names):
    """What the scripts make of the statements is what Python makes of them."""
    for (name, index), found in zip(names, browser.run(TERMS, names), strict=True):
        term = trace.term(name, **index)
        where = f"{name} {index}"
        assert plain(found["general"]) == plain(term.mathml).replace(' display="block"', ""), where
        assert plain(found["formula"]) == plain(term.substituted_mathml), where
        assert float(found["value"]) == pytest.approx(term.value, rel=ROUNDING, abs=1e-300, nan_ok=True), where
        assert (found["source"], found["marks"], found["notes"]) == (term.source, list(term.marks), list(term.notes))
        assert [others for _, others in found["parts"]] == [part.others for part in term.parts], where
        numbers = [float(value) for value, _ in found["parts"]]
        assert numbers == pytest.approx([part.value for part in term.parts], rel=ROUNDING, abs=1e-18), where
        numbers = [float(value) for value in found["where"]]
        assert numbers == pytest.approx([line.value for line in term.where], rel=ROUNDING, nan_ok=True), where


@pytest.mark.external
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output": "sigmoid", "loss": "squared_error", "samples": 1, "bias": False},
        {"sizes": [7, 8, 2], "samples": 9},
        {"activation": ["leaky_relu(0.2)", "gelu"], "optimizer": bpjit.SGD(learning_rate=0.5)},
        {"sizes": [40, 3, 30, 12], "activation": "relu", "dtype": "float32", "optimizer": bpjit.Adam()},
        {"output": "identity", "loss": "huber(delta=0.5)", "sizes": [3, 2], "optimizer": bpjit.AdamW()},
    ],
)
def test_what_is_shown_is_what_the_trace_says(opened, options):
    trace = traced(**options)
    assert_same_terms(opened(trace), trace, some_terms(trace, 120))


@pytest.mark.external
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "LBFGS"])
def test_the_step_of_every_optimizer(opened, name):
    net = network(sizes=[3, 4, 2])
    X, t = classes(samples=2)
    penalties = {"l1": {1: 0.01}} if name == "Adam" else {}
    trainer = bpjit.Trainer(net, optimizer=OPTIMIZERS[name](), batch_size=2, **penalties)
    trainer.fit(X, t, epochs=2)
    trace = trainer.trace(X, t)
    terms = [(name, index) for name, index in some_terms(trace, 40) if name in ("W", "b")]
    assert_same_terms(opened(trace), trace, terms)


@pytest.mark.external
def test_numbers_are_rounded_as_in_python(opened):
    from bpjit.explain.text import number

    random = np.random.default_rng(0)
    numbers = [0.15625, 0.15635, 2.5, -0.0, 1e-5, 1e-4, 9999.5, 99995.0, 123456.0, 0.00012345, 1e300, 5e-324]
    numbers += (random.normal(size=300) * 10.0 ** random.integers(-9, 9, 300)).tolist()
    numbers += (random.integers(-(10**6), 10**6, 300) / 2.0**7).tolist()
    found = opened(traced()).run("return arguments[0].map((x) => [numberText(x), numberText(x, 7)])", numbers)
    assert found == [[number(x), number(x, 7)] for x in numbers]


def shown(browser):
    """(name, index) of the term that is shown, from the page's address."""
    found = dict(each.split("=") for each in browser.run("return location.hash").removeprefix("#").split("&"))
    return found.pop("term"), {letter: int(number) for letter, number in found.items()}


@pytest.mark.external
def test_a_click_on_a_weight_shows_its_gradient(opened):
    trace = traced(optimizer=bpjit.SGD())
    browser = opened(trace)
    browser.run("document.querySelector('[data-weight=\"2 4 1\"]').dispatchEvent(new MouseEvent('click'))")
    assert shown(browser) == ("dW", {"l": 2, "i": 4, "j": 1})
    term = trace.term("dW", l=2, i=4, j=1)
    assert float(browser.one("output").get_attribute("data-value")) == term.value
    here = browser.one(".right.numbers math").get_attribute("outerHTML")
    assert plain(here).removeprefix("<math>").removesuffix("</math>") in plain(term.substituted_mathml)
    products = [trace.delta[2][s, 4] * trace.a[1][s, 1] for s in range(3)]
    bars = [float(each.get_attribute("data-value")) for each in browser.all(".parts .number")]
    assert bars == sorted(products, key=lambda product: -abs(product))
    assert browser.text("#cited") == term.source
    assert browser.text(".code .current").strip() == term.code
    assert browser.text("#followed").split() == ["w", "4,1", "2"] or "4" in browser.text("#followed")

    browser.one(".parts .link").click()  # delta, which comes from the layer above
    assert shown(browser)[0] == "delta"
    assert browser.run("return document.activeElement.dataset.name") == "delta"  # the keyboard goes on from there
    browser.run("document.querySelector('[data-unit=\"1 3\"]').dispatchEvent(new MouseEvent('click'))")
    assert shown(browser) == ("delta", {"l": 1, "i": 3, "s": shown(browser)[1]["s"]})
    value = trace.term("delta", **shown(browser)[1]).value
    assert float(browser.one("output").get_attribute("data-value")) == value


@pytest.mark.external
def test_numbers_lead_back_to_where_they_come_from(opened):
    """Whatever a term is made of goes into the term."""
    trace = traced(optimizer=bpjit.SGD())
    names = [each for each in some_terms(trace, 80) if each[0] in ("z", "a", "delta", "dW", "db")]
    script = """
    return arguments[0].map(([name, index]) => {
      const term = termOf(page.trace, name, index);
      const entries = sourcesOf(term);
      for (const { expression } of term.parts) for (const node of walk(expression)) {
        if (is(node, 'Symbol') && node.indices.length === 2 && isNumbered(node)) entries.push(reference(node, {}));
      }
      return entries.filter((entry) => {
        const from = termAt(page.trace, entry, index.s ?? 0);
        if (!from || ['W', 'b'].includes(entry.name)) return false;
        const targets = destinationsOf(page.trace, from).flatMap(({ targets }) => targets);
        return !targets.map(keyOfTerm).includes(keyOfTerm({ name, index }));
      });
    });
    """
    found = opened(trace).run(script, names)
    assert [each for each in found if each] == []


def sections(trace, l, i, j, s):
    """What the walk in a terminal has: heading, text, name and index of each of its terms."""
    return [
        [heading, text, term.name, term.index]
        for heading, terms, text in walk.sections(trace, l, i, j, s)
        for term in terms
    ]


@pytest.mark.external
@pytest.mark.parametrize("options", [{}, {"sizes": [3, 4, 5, 30], "samples": 1}, {"bias": False}, {"sizes": [3, 2]}])
def test_the_steps_are_those_of_the_walk(opened, options):
    trace = traced(optimizer=bpjit.SGD(), **options)
    browser = opened(trace)
    script = """
    const steps = tourOfWeight(page.trace, { l: arguments[0], i: arguments[1], j: arguments[2], s: arguments[3] });
    return steps.map(({ section, text, name, index }) => [section, text, name, index]);
    """
    for l in range(1, trace.L + 1):
        place = (l, 1, 2, trace.S - 1)
        assert browser.run(script, *place) == sections(trace, *place)


@pytest.mark.external
def test_the_buttons_and_keys_walk_the_whole_derivation(opened):
    from browser import Keys

    trace = traced(optimizer=bpjit.Adam())
    browser = opened(trace)
    expected = sections(trace, *walk.chosen(trace))

    def seen():
        name, index = shown(browser)
        term = trace.term(name, **index)
        assert browser.text("output") == bpjit.explain.text.number(term.value, 7)
        assert browser.text("#cited") == term.source
        return [browser.text("#section"), browser.text("#text"), name, index]

    walked = [seen()]
    while browser.one("#next").is_enabled():
        browser.one("#next").click()
        walked.append(seen())
    assert walked == expected
    assert browser.text("#count") == f"{len(expected)} of {len(expected)}"
    browser.one("body").click()
    browser.press(Keys.HOME)
    assert seen() == expected[0] and not browser.one("#back").is_enabled()
    browser.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert seen() == expected[1]
    browser.press(Keys.END)
    assert seen() == expected[-1]
    browser.one("#first").click()
    browser.one("#play").click()
    assert browser.one("#play").get_attribute("aria-pressed") == "true"
    browser.one("#back" if browser.one("#back").is_enabled() else "#play").click()
    assert browser.one("#play").get_attribute("aria-pressed") == "false"


@pytest.mark.external
def test_the_passes_through_all_units(opened):
    trace = traced(sizes=[2, 3, 2], optimizer=bpjit.SGD())
    browser = opened(trace)
    browser.one("#units").click()
    browser.one("#first").click()
    passes = [shown(browser)]
    while browser.one("#next").is_enabled():
        browser.one("#next").click()
        passes.append(shown(browser))
    of_units = [(l, i) for l in (1, 2) for i in range(trace.sizes[l])]
    for name in ("z", "a", "delta", "db", "b"):
        assert [(index["l"], index["i"]) for each, index in passes if each == name] == (
            of_units if name != "delta" else sorted(of_units, key=lambda place: (-place[0], place[1]))
        )
    assert {name for name, _ in passes} == {"z", "a", "C", "delta", "dW", "db", "W", "b"}


@pytest.mark.external
def test_the_keyboard_reaches_units_and_weights(opened):
    from browser import Keys

    browser = opened(traced())
    browser.run("document.querySelector('[data-unit=\"2 1\"]').focus()")
    browser.press(Keys.ENTER)
    assert shown(browser)[1] | {"s": 0} == {"l": 2, "i": 1, "s": 0}
    assert browser.run("return document.activeElement.dataset.unit") == "2 1"
    weight = browser.run(
        "const e = document.querySelector('.edge[tabindex=\"0\"]'); e.focus(); return e.dataset.weight"
    )
    browser.press(Keys.ENTER)
    name, index = shown(browser)
    assert (name, f"{index['l']} {index['i']} {index['j']}") == ("dW", weight)


@pytest.mark.external
def test_a_page_of_mnist(opened):
    trace = large()
    browser = opened(trace)
    assert len(browser.all(".unit")) < 50
    for text, name, index in [
        ("1, 77", "z", {"l": 1, "i": 77, "s": 0}),
        ("0, 405", "a", {"l": 0, "i": 405, "s": 0}),
        ("1 77 405", "dW", {"l": 1, "i": 77, "j": 405}),
    ]:
        browser.one("#place").clear()
        browser.one("#place").send_keys(text)
        browser.one("#search button").click()
        assert shown(browser) == (name, index)
        assert browser.all(f'[data-unit="{index["l"]} {index["i"]}"]')
    problems = {"1, 128": "Layer 1 has units 0 … 127.", "4, 0": "layers 0"}
    for text, problem in (problems | dict.fromkeys(["x", "-1, 0", "1.5", "1, 0, 0, 0"], "Write a layer")).items():
        browser.one("#place").clear()
        browser.one("#place").send_keys(text)
        browser.one("#search button").click()
        assert problem in browser.text("#missing") and shown(browser)[0] == "dW"
    assert len(browser.all("canvas")) == 3
    assert_same_terms(browser, trace, [each for each in some_terms(trace, 20) if each[0] not in ("W", "b")])
    for name, index in some_terms(trace, 20):
        if name in ("W", "b"):  # what a step adds, and moments, are rounded to float32 in a page of many numbers
            (found,) = browser.run(TERMS, [[name, index]])
            assert float(found["value"]) == pytest.approx(trace.term(name, **index).value, rel=1e-6)


@pytest.mark.external
def test_a_mini_batch_and_the_address(opened):
    trace = traced()
    browser = opened(trace, fragment="#term=delta&l=2&i=3&s=1")
    assert shown(browser) == ("delta", {"l": 2, "i": 3, "s": 1})
    browser.run("const e = document.getElementById('sample'); e.value = 2; e.dispatchEvent(new Event('change'))")
    assert shown(browser) == ("delta", {"l": 2, "i": 3, "s": 2})
    assert float(browser.one("output").get_attribute("data-value")) == trace.delta[2][2, 3]
    for wrong in ("#term=delta&l=9&i=0&s=0", "#term=__proto__&l=1", "#term=dW&l=1&i=0", "#term=W&l=1&i=0&j=0&s=1"):
        first = walk.chosen(trace)
        browser = opened(trace, fragment=wrong)
        assert shown(browser) == ("z", {"l": first[0], "i": first[1], "s": first[3]})


@pytest.mark.external
def test_nothing_leaves_the_page(opened, tmp_path):
    trace = traced()
    trace.notes = (HOSTILE,)
    browser = opened(trace)
    browser.one("#last").click()
    browser.one("#units").click()
    assert browser.text("#notes") == HOSTILE
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert [url.partition("#")[0] for url in browser.requests()] == [(tmp_path / "trace.html").as_uri()]


@pytest.mark.external
def test_phones_and_dark_rooms(opened):
    from browser import DESKTOP, PHONE

    trace = traced(sizes=[64, 20, 10], optimizer=bpjit.Adam())
    colours = set()
    for size in (PHONE, DESKTOP):
        for dark in (False, True):
            browser = opened(trace, size=size, dark=dark)
            for name, index in [*some_terms(trace, 10), ("W", {"l": 1, "i": 0, "j": 9})]:
                browser.run("page.open({ name: arguments[0], index: arguments[1] })", name, index)
                assert browser.run("return document.documentElement.scrollWidth") <= size[0], (name, index)
            colours.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


class Film:
    """What a film gives to the page."""

    def data(self):
        return {"loss": [0.5, 0.25]}


@pytest.mark.external
def test_a_film_is_shown_below(opened, monkeypatch):
    read = document.read
    made = {
        "film.js": "'use strict';\nfunction film(section, data) { section.append(data.loss.join()) }",
        "film.css": "",
    }
    monkeypatch.setattr(document, "read", lambda name: made[name] if name in made else read(name))
    browser = opened(traced(), film=Film())
    assert browser.text("#film") == "0.5,0.25"
    browser = opened(traced())
    assert not browser.one("#film").is_displayed()


@pytest.mark.external
def test_a_notebook_shows_the_page_in_a_frame(browser, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{traced()._repr_html_()}", encoding="utf-8")
    browser.open(path)
    browser.driver.switch_to.frame(0)
    browser.one("#next").click()
    assert browser.text("#count") == "2 of 13"
    browser.driver.switch_to.default_content()
    assert browser.messages() == []


@pytest.mark.external
def test_frozen_layers_penalties_and_a_rule_that_cannot_be_shown(opened):
    def update(w, g, v, learning_rate=0.5):
        for _ in range(2):
            v = 0.5 * v + g
        return w - learning_rate * v, v

    net = network(sizes=[3, 4, 3, 2])
    X, t = classes(samples=4)
    unread = bpjit.register_optimizer("Unread", update, moments=1)
    trainer = bpjit.Trainer(net, bpjit.SGD(0.1, momentum=0.5), layers={1: "frozen"}, l2=0.01)
    for trace in (trainer.trace(X, t), net.trace(X, t, unread(learning_rate=0.5))):
        terms = [(name, index) for name, index in some_terms(trace, 60) if name in ("W", "b")]
        browser = opened(trace)
        assert_same_terms(browser, trace, terms)
        for name, index in terms:
            browser.run("page.open({ name: arguments[0], index: arguments[1] })", name, index)
            assert browser.text("output") == bpjit.explain.text.number(trace.term(name, **index).value, 7)


@pytest.mark.external
def test_a_trace_without_a_step(opened):
    X, t = classes(samples=2)
    trace = Trace(network(), X, t)
    browser = opened(trace)
    browser.one("#last").click()
    assert browser.text("#section") == "The gradient"
    assert [each.get_attribute("data-name") for each in browser.all(".tabs button")] == ["z", "a", "delta", "db"]
    assert_same_terms(browser, trace, [each for each in some_terms(trace, 20) if each[0] not in ("W", "b")])


@pytest.mark.external
def test_numbers_beyond_all_bounds(opened):
    net = network(sizes=[3, 4, 2], activation="relu", loss="squared_error", output="identity")
    net.set_parameters([(np.full((4, 3), 1e200), np.zeros(4)), (np.full((2, 4), -1e200), np.zeros(2))])
    with np.errstate(all="ignore"):
        trace = net.trace(np.full(3, 1e200), np.zeros(2), bpjit.SGD())
        browser = opened(trace)
        for name, index in some_terms(trace, 40):
            browser.run("page.open({ name: arguments[0], index: arguments[1] })", name, index)
            assert browser.text("output") == bpjit.explain.text.number(trace.term(name, **index).value, 7)
