"""Diagnosis and summary of networks: numbers against NumPy's, findings where there is something, quiet elsewhere."""

import io
import sys
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pytest

import bpjit
from bpjit.diagnosis import QUANTILE_SAMPLES, QUANTILES, STUCK_SHARE
from bpjit.display import Table
from bpjit.plots import _pooled

pytestmark = pytest.mark.usefixtures("one_thread")


def cloud(samples=200, columns=6, seed=0):
    """X and labels of three classes."""
    X = np.random.default_rng(seed).normal(size=(samples, columns)).astype(np.float32)
    return X, X[:, :3].argmax(axis=1)


def network(hidden, activation, scale=1.0, **options):
    """A network for `cloud` whose weights are `scale` times as large as they would be."""
    net = bpjit.Network([6, *hidden, 3], activation=activation, seed=0, **options)
    net.set_parameters([(scale * W, b) for W, b in net.parameters()])
    return net


def with_biases(net, l, units, value):
    """So many units of layer l with that bias, the others with one that keeps them at work."""
    params = net.parameters()
    params[l - 1][1][:units], params[l - 1][1][units:] = value, 1.0
    net.set_parameters(params)
    return net


# What is counted


@pytest.mark.nojit
def test_spreads_are_those_of_the_arrays():
    net, (X, t) = network([8, 5], "relu"), cloud(60)
    arrays = net.weighted_inputs(X), net.activations(X)[1:], net.deltas(X, t), [W for W, _ in net.gradients(X, t)]
    for l, layer in enumerate(net.diagnose(X, t).layers):
        for spread, array in zip((layer.z, layer.a, layer.delta, layer.gradient), (x[l] for x in arrays), strict=True):
            found = spread.mean, spread.std, spread.low, spread.high, *spread.quantiles
            wide = array.astype(np.float64)  # sums are in float64; quantiles are of float32 numbers
            wanted = wide.mean(), wide.std(), wide.min(), wide.max(), *np.quantile(wide, QUANTILES)
            assert found == pytest.approx(wanted, rel=1e-6, abs=1e-7)
        norm = np.sqrt((arrays[2][l].astype(np.float64) ** 2).sum(axis=1).mean())
        ratio = np.linalg.norm(arrays[3][l]) / np.linalg.norm(net.parameters()[l][0])
        assert (layer.delta_norm, layer.gradient_ratio) == pytest.approx((norm, ratio), rel=1e-5)


def test_of_many_samples_some_give_the_quantiles_and_all_the_rest():
    X, t = cloud(4 * QUANTILE_SAMPLES + 300)
    net = network([8], "tanh", scale=3.0)
    layer, every = net.diagnose(X, t).layers[0], -(-len(X) // QUANTILE_SAMPLES)
    z = net.weighted_inputs(X)[0]
    assert layer.z.quantiles == pytest.approx(np.quantile(z[::every], QUANTILES), rel=1e-6)
    assert (layer.z.mean, layer.z.std) == pytest.approx((z.mean(dtype=np.float64), z.std(dtype=np.float64)), abs=1e-6)
    assert (layer.z.low, layer.z.high) == (z.min(), z.max())
    assert layer.flat == pytest.approx((1 / np.cosh(z) ** 2 < 0.01).mean(), abs=2 / z.size)  # one may lie at the edge
    X[:-1] = 0.0  # only the last is far out: no unit is saturated for all
    assert 0 < net.diagnose(1000 * X).layers[0].flat < 1e-3 and net.diagnose(1000 * X).layers[0].saturated == 0


@pytest.mark.parametrize(
    ("activation", "flat_where", "kind"),
    [
        ("relu", lambda z: z <= 0, "dead"),
        ("sigmoid", lambda z: np.exp(-abs(z)) / (1 + np.exp(-abs(z))) ** 2 < 0.01, "saturated"),
        ("tanh", lambda z: 1 / np.cosh(z) ** 2 < 0.01, "saturated"),
        ("leaky_relu", lambda z: z > np.inf, "dead"),  # its slope of 0.01 lets enough through
        ("identity", lambda z: z > np.inf, "dead"),
    ],
)
def test_units_that_let_no_gradient_through_are_counted(activation, flat_where, kind):
    X, _ = cloud()
    net = with_biases(network([32], activation, scale=3.0, dtype="float64"), 1, 5, -40.0)
    layer, flat = net.diagnose(X).layers[0], flat_where(net.weighted_inputs(X)[0])
    counts = {"dead": None, "saturated": None, kind: int(flat.all(axis=0).sum())}
    assert {"dead": layer.dead, "saturated": layer.saturated} == counts
    assert layer.flat == pytest.approx(flat.mean())
    assert counts[kind] == (0 if activation in ("leaky_relu", "identity") else 5)


def test_at_the_output_units_are_counted_where_they_have_a_slope():
    X, t = cloud()
    assert bpjit.Network([6, 3]).diagnose(X).layers[0].flat is None
    assert bpjit.Network([6, 3], loss="binary_cross_entropy").diagnose(X).layers[0].flat is None  # taken from z
    net = with_biases(bpjit.Network([6, 3], output="relu", loss="squared_error"), 1, 3, -100.0)
    found = net.diagnose(X, np.eye(3)[t])
    assert found.layers[0].dead == 3
    assert found.findings[0] == "layer 1: 3 of 3 units are dead: relu lets no gradient through for any of 200 samples"


# What is found


@pytest.mark.parametrize(
    ("hidden", "activation"),
    [
        ([128], "relu"),
        ([64] * 8, "relu"),
        ([64] * 8, "tanh"),
        ([64] * 3, "sigmoid"),
        ([64] * 8, "leaky_relu"),
        ([], []),
    ],
)
def test_nothing_is_found_in_a_sound_network(hidden, activation):
    X, t = bpjit.datasets.digits()
    net = bpjit.Network([64, *hidden, 10], activation=activation, seed=0)
    assert net.diagnose(X, t).findings == ()
    net.fit(X, t, epochs=2, optimizer=bpjit.Adam())
    assert net.diagnose(X, t).findings == ()
    assert str(net.diagnose(X)).endswith("\nnothing wrong is seen")


@pytest.mark.parametrize(("activation", "kind"), [("relu", "dead"), ("tanh", "saturated"), ("sigmoid", "saturated")])
def test_many_stuck_units_are_named(activation, kind):
    X, t = cloud()
    named = f"layer 2: 37 of 128 units are {kind}: {activation} lets no gradient through for any of 200 samples"
    assert with_biases(network([16, 128], activation), 2, 37, -60.0).diagnose(X, t).findings == (named,)
    assert with_biases(network([16, 128], activation), 2, 37, -60.0).diagnose(X).findings == (named,)
    few = int(STUCK_SHARE * 128) - 6
    assert with_biases(network([16, 128], activation), 2, few, -60.0).diagnose(X, t).findings == ()


def test_few_samples_say_nothing_of_units():
    X, t = cloud()
    net = with_biases(network([16, 128], "relu"), 2, 100, -60.0)
    assert net.diagnose(X[:31], t[:31]).findings == ()
    assert len(net.diagnose(X[:32], t[:32]).findings) == 1
    assert bpjit.Network([6, 64, 3], seed=0).diagnose(X[:1], t[:1]).findings == ()


def test_a_layer_that_works_at_the_flat_ends_is_named():
    X, _ = cloud()
    (finding,) = network([64], "tanh", scale=30.0).diagnose(X).findings
    assert finding.startswith("layer 1: tanh is saturated for ") and "scale X, or make the weights smaller" in finding


def test_gradients_that_vanish_are_named():
    X, t = cloud()
    net = network([16] * 8, "sigmoid")
    (finding,) = net.diagnose(X, t).findings
    deltas = net.deltas(X, t)
    share = np.linalg.norm(deltas[0]) / np.linalg.norm(deltas[-1])
    assert share < 1e-3
    assert finding == f"gradients vanish towards the input: ‖δ‖ of layer 1 is {share:.1g} of layer 9's"
    assert net.diagnose(X).findings == ()  # without targets nothing flows back


def test_gradients_that_explode_are_named():
    X, t = cloud()
    net = network([16] * 8, "leaky_relu", scale=5.0)
    (finding,) = net.diagnose(X, t).findings
    deltas = net.deltas(X, t)
    times = np.linalg.norm(deltas[0]) / np.linalg.norm(deltas[-1])
    assert times > 1e3
    assert finding == f"gradients explode towards the input: ‖δ‖ of layer 1 is {times:.1g} times layer 9's"


@pytest.mark.nojit
def test_where_no_gradient_arrives_is_named():
    X, t = cloud(40)
    findings = with_biases(network([8, 8, 8], "relu"), 3, 8, -60.0).diagnose(X, t).findings
    assert findings == (
        "layer 3: 8 of 8 units are dead: relu lets no gradient through for any of 40 samples",
        "no gradient reaches layer 3 and those below: δ is 0 there",
    )


def test_a_fit_without_error_is_no_finding():
    net = bpjit.Network([6, 1], loss="squared_error", init="zeros")
    assert net.diagnose(cloud()[0], np.zeros(200)).findings == ()


def test_overflow_is_named_and_nothing_else():
    X, t = cloud()
    X[3:7] = 1e30
    diagnosis = network([8, 8], "relu", scale=1e10).diagnose(X, t)
    assert diagnosis.findings == (
        "layer 1: a is not finite for 4 of 200 samples: float32 overflows; scale X, or draw the parameters anew",
    )
    diagnosis.plot()
    str(diagnosis)


@pytest.mark.nojit
def test_bad_data_give_the_usual_errors():
    net = network([8], "relu")
    with pytest.raises(ValueError, match="X has 2 columns"):
        net.diagnose([[1.0, 2.0]])
    with pytest.raises(ValueError, match="a class label must lie in 0 … 2"):
        net.diagnose(cloud(2)[0], [0, 3])


# How it is shown


class Tags(HTMLParser):
    """The elements of a page, and its text; fails where they are not nested."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.text, self.styles = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.seen.append(tag)
        self.styles += [value for name, value in attributes if name == "style"]
        assert {name for name, _ in attributes} <= {"style"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_diagnosis_prints_as_a_table():
    net, (X, t) = with_biases(network([16, 128], "relu"), 2, 37, -60.0), cloud()
    title, head, *rows, finding = str(net.diagnose(X, t)).splitlines()
    assert title == f"{net!r} on 200 samples; z and a as mean ± standard deviation"
    assert head.split() == "layer units activation z a dead saturated flat ‖δ‖ ‖∂C/∂W‖ / ‖W‖".split()
    assert [row.split()[:3] for row in rows] == [["1", "16", "relu"], ["2", "128", "relu"], ["3", "3", "softmax"]]
    assert "37" in rows[1].split() and finding.startswith("layer 2: 37 of 128 units are dead")
    assert "δ" not in str(net.diagnose(X))
    assert repr(net.diagnose(X)) == str(net.diagnose(X))
    tags = Tags(net.diagnose(X, t)._repr_html_())
    assert finding in tags.text and tags.seen.count("tr") == 4


def test_a_notebook_shows_a_table_that_needs_nothing_else():
    net = network([16], "relu")
    tags = Tags(net._repr_html_())
    assert set(tags.seen) == {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert {"Network(6-16-3, relu, softmax, cross_entropy, float32)", "163 parameters"} <= set(tags.text)
    colours = {
        part.strip() for style in tags.styles for part in style.split(";") if "color" in part or "ground" in part
    }
    assert colours == {"color: inherit", "background: none"}  # as readable on a dark page as on a light one


def test_text_is_escaped():
    page = Table("<b>", ("a&b",), [("<script>x</script>",)], notes=("<i>",)).html()
    tags = Tags(page)
    assert "script" not in tags.seen and "i" not in tags.seen
    assert {"<b>", "a&b", "<script>x</script>", "<i>"} <= set(tags.text)


def test_the_repr_of_a_network_stays_one_line():
    assert repr(network([16], "relu")) == str(network([16], "relu"))
    assert repr(network([16], "relu")) == "Network(6-16-3, relu, softmax, cross_entropy, float32)"


def test_a_summary_counts_parameters_and_flops():
    summary = bpjit.Network([784, 128, 10]).summary(batch_size=100)
    assert [(one.layer, one.units, one.weights, one.biases) for one in summary.layers] == [
        (1, 128, 784 * 128, 128),
        (2, 10, 1280, 10),
    ]
    assert summary.parameters == 101_770
    assert summary.flops == 2 * 100 * (2 * (784 * 128 + 128 * 10) + 128 * 10)  # E1 and E8 of both, E7 of layer 2
    assert "101,770 parameters\n40.91 MFLOP a training step with 100 samples" in str(summary)
    assert bpjit.Network([784, 128, 10], bias=False).summary().parameters == 101_632


@pytest.mark.parametrize("optimizer", [bpjit.SGD(), bpjit.SGD(momentum=0.9), bpjit.Adam()], ids=["0", "1", "2"])
def test_training_takes_the_memory_that_the_summary_says(optimizer):
    X, t = np.zeros((256, 512), np.float32), np.zeros(256, int)

    def trained():
        net = bpjit.Network([512, 640, 10], seed=0)
        net.fit(X, t, epochs=1, batch_size=256, optimizer=optimizer)
        return net

    trained()  # compiled
    tracemalloc.start()
    net = bpjit.Network([512, 640, 10], init="zeros")
    started = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    net.fit(X, t, epochs=1, batch_size=256, optimizer=optimizer)
    peak = tracemalloc.get_traced_memory()[1] - started + net._model.theta.nbytes
    tracemalloc.stop()
    (said,) = net.summary(256, optimizer).memory.values()
    assert said == pytest.approx(peak, rel=0.03)  # the order of the samples, the history, and such


def test_a_summary_of_any_optimizer():
    summary = bpjit.Network([64, 32, 10]).summary()
    assert list(summary.memory) == ["SGD", "momentum", "Adam"]
    assert list(summary.memory.values()) == sorted(summary.memory.values())
    assert bpjit.Network([64, 32, 10]).summary(optimizer=bpjit.Adam()).memory == {"Adam": summary.memory["Adam"]}
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        bpjit.Network([2, 1]).summary(batch_size=0)
    with pytest.raises(TypeError, match=r"optimizer must be one such as bpjit.Adam\(\), not 'adam'"):
        bpjit.Network([2, 1]).summary(optimizer="adam")


# Plots


def test_a_diagnosis_is_drawn_with_its_quantiles_and_findings(tmp_path):
    X, t = cloud()
    diagnosis = with_biases(network([16, 128], "relu"), 2, 37, -60.0).diagnose(X, t)
    figure = diagnosis.plot(tmp_path / "d.png")
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 6 and {axes.get_xlabel() for axes in figure.axes} == {"layer"}
    assert all(axes.get_ylabel() and axes.get_title() for axes in figure.axes)
    for axes, name in zip([figure.axes[k] for k in (0, 1, 3, 4)], ("z", "a", "delta", "gradient"), strict=True):
        drawn = np.array([line.get_ydata() for line in axes.lines[::3]])
        quantiles = np.array([getattr(layer, name).quantiles for layer in diagnosis.layers])
        assert np.array_equal(drawn, quantiles[:, [0, 4]])
    stuck = [bar.get_height() for bar in figure.axes[2].containers[1]]
    assert stuck[1] == pytest.approx(100 * 37 / 128) and stuck[2] == 0
    assert figure.get_supxlabel() == diagnosis.findings[0]
    assert len(network([16], "relu").diagnose(X).plot().axes) == 3


def test_gradients_that_vanish_are_drawn_on_a_logarithmic_axis():
    X, t = cloud()
    figure = network([16] * 8, "sigmoid").diagnose(X, t).plot()
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", "linear", "symlog", "symlog", "log"]


def test_of_many_findings_some_are_drawn():
    X, t = cloud()
    diagnosis = network([64] * 6, "tanh", scale=30.0).diagnose(X, t)
    assert len(diagnosis.findings) > 5
    assert diagnosis.plot().get_supxlabel().endswith(f"and {len(diagnosis.findings) - 4} more")


@pytest.mark.parametrize("bias", [True, False])
def test_the_weights_of_all_layers_are_drawn_on_one_scale(tmp_path, bias):
    net = bpjit.Network([4, 5, 3], bias=bias, seed=0)
    figure = net.plot(tmp_path / "w.svg")
    assert (tmp_path / "w.svg").read_bytes().startswith(b"<?xml")
    *layers, _colours = figure.axes
    assert [axes.get_title() for axes in layers] == ["layer 1: 5 × 4, relu", "layer 2: 3 × 5, softmax"]
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in layers] == [
        ("unit j of layer 0", "unit i of layer 1"),
        ("unit j of layer 1", "unit i of layer 2"),
    ]
    for axes, (W, b) in zip(layers, net.parameters(), strict=True):
        assert np.array_equal(axes.images[0].get_array(), W)
        assert len(axes.images) == 1 + bias
        if bias:
            assert np.array_equal(axes.images[1].get_array()[:, 0], b)
    assert len({(image.norm.vmin, image.norm.vmax) for axes in layers for image in axes.images}) == 1
    assert layers[0].images[0].norm.vmin == -layers[0].images[0].norm.vmax


def test_layers_of_other_sizes_can_be_seen_beside_each_other():
    net = bpjit.Network([4, 5, 3], seed=0)
    net.set_parameters([(W * scale, b) for (W, b), scale in zip(net.parameters(), (0.01, 10.0), strict=True)])
    scale = net.plot().axes[0].images[0].norm
    small, large = (float(np.quantile(abs(W), 0.995)) for W, _ in net.parameters())
    assert scale.vmax == pytest.approx(large) and scale.linthresh == pytest.approx(small)
    net.set_parameters([(0 * W, b) for W, b in net.parameters()])
    net.plot().savefig(io.BytesIO())


def test_wide_layers_keep_their_outliers():
    W = np.zeros((3, 5000), np.float32)
    W[1, 3333], W[2, 17] = -2.0, 1.0
    cells = _pooled(W)
    assert cells.shape[0] == 3 and cells.shape[1] <= 400
    assert (cells.min(), cells.max(), np.count_nonzero(cells)) == (-2.0, 1.0, 2)


def test_the_first_layer_as_images():
    net = bpjit.Network([9, 5, 2], seed=0)
    canvas = net.plot(images=True).axes[0].images[0].get_array()
    assert np.array_equal(canvas[4:7, 4:7], net.parameters()[0][0][4].reshape(3, 3))  # the second of the second row
    with pytest.raises(ValueError, match="pixels of a square, but there are 8"):
        bpjit.Network([8, 2]).plot(images=True)


def test_a_missing_matplotlib_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (bpjit.Network([2, 1]).plot, bpjit.Network([2, 1]).diagnose(np.eye(2)).plot):
        with pytest.raises(ImportError, match=r"pip install 'bpjit\[plot\]'"):
            draw()
