"""`bpjit bench` and its parts: what it prints and writes, what it refuses, and that a figure has work behind it."""

import functools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from runs import environment

from bpjit.bench import cases, chart, job, measure, peers, report, workers
from bpjit.bench.peers import PEERS, Peer, Run
from bpjit.bench.report import Report, Row

ROOT = Path(__file__).parent.parent
SHORT = ["--cases", "tiny", "--seconds", "0.05"]
SMALL = cases.case("6-8-3@10")


@pytest.fixture
def run(run):
    return functools.partial(run, "bench")


def row(case="mnist", threads=1, optimizer="adam", **seconds):
    """A row whose steps have 1000 FLOPs on cores that do 1 GFLOP/s."""
    times = {"bpjit": [2e-6, 4e-6], **{name.replace("_", "-"): list(several) for name, several in seconds.items()}}
    return Row(case, "784-128-10@128", optimizer, threads, "float32", 1000, 1e9, times, {})


def a_report(*rows):
    facts = {"versions": {"bpjit": "1.0", "JAX": "2.0"}, "cpu": "Z80", "cores": 2, "date": "2026-11-01"}
    return Report(facts, list(rows))


@pytest.fixture
def here(monkeypatch):
    """Workers without processes of their own, for what does not depend on where it ran."""
    monkeypatch.setattr(measure, "Worker", Here)


class Here:
    def __init__(self, threads, make, *arguments):
        self._subject = make(*arguments)

    def call(self, method, *arguments):
        try:
            return getattr(self._subject, method)(*arguments)
        except Exception as error:
            raise workers.WorkerError(f"{type(error).__name__}: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *exception): ...


# The command.


def test_what_was_measured_is_printed_and_written(run, tmp_path):
    written, drawn = tmp_path / "speed.json", tmp_path / "speed.svg"
    words = ["--cases", "tiny,6-8x3-3@10", "--peers", "scikit-learn", "--optimizer", "sgd,adam", "--seconds", 0.01]
    code, output, errors = run(*words, "--json", written, "--plot", drawn)
    assert (code, errors) == (0, "")
    for fact in (f"NumPy {version('numpy')}", f"scikit-learn {version('scikit-learn')}", "float32", "1 thread"):
        assert fact in output
    assert re.search(r"^tiny +2-16-1@32 +sgd +[\d.]+ +\d+% +[\d.]+ +\d+% +[\d.]+$", output, re.MULTILINE)
    assert re.search(r"^a core's peak, measured beside each row: \d+ to \d+ GFLOP/s$", output, re.MULTILINE)
    content = json.loads(written.read_text())
    assert set(content) == {"environment", "rows"}
    assert set(content["environment"]) == {"versions", "cpu", "cores", "date"}
    assert [(row["case"], row["optimizer"]) for row in content["rows"]] == [
        ("tiny", "sgd"),
        ("tiny", "adam"),
        ("6-8x3-3@10", "sgd"),
        ("6-8x3-3@10", "adam"),
    ]
    for measured in content["rows"]:
        assert set(measured) == set(Row.__dataclass_fields__)
        assert measured["peak"] > 1e8
        assert set(measured["seconds"]) == {"bpjit", "scikit-learn"}
        assert all(len(times) == 5 and min(times) > 1e-7 for times in measured["seconds"].values())
    assert Report.read(written).to_json() == written.read_text()
    assert b"<svg" in drawn.read_bytes()


def test_json_alone_on_standard_output(run, here):
    code, output, errors = run(*SHORT, "--peers", "none", "--json", "-", "--dtype", "float64")
    assert code == 0
    (measured,) = json.loads(output)["rows"]
    assert measured["dtype"] == "float64" and list(measured["seconds"]) == ["bpjit"]
    assert "µs" in errors


def test_a_library_that_cannot_do_a_case_is_left_out_of_it_and_why_is_said(run, here):
    code, output, errors = run("--cases", "6-2@10", "--peers", "scikit-learn", "--seconds", 0.05)
    assert code == 0
    assert re.search(r"^6-2@10 .* –$", output, re.MULTILINE)
    assert errors == (
        "bpjit: scikit-learn is left out of 6-2@10: NotImplementedError: its networks have one output for two classes\n"
    )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--cases mnits", "did you mean 'mnist'"),
        ("--cases mnits", "784-64x3-10@128"),
        ("--cases 784-10", "cases is '784-10'"),
        ("--cases 784-0@8", "at least 1"),
        ("--cases 784-10@0", "mini-batch of 784-10@0"),
        ("--cases 9999999-9999999@1", "GiB"),
        ("--cases tiny,", "cases is ''"),
        ("--peers jaxx", "did you mean 'jax'"),
        ("--optimizer adem", "'adam'"),
        ("--threads 0", "from 1 to"),
        ("--threads 1,many", "'many'"),
        ("--threads 100000", "cores"),
        ("--dtype float16", "'float32'"),
        ("--seconds 0", "seconds"),
        ("--seconds nan", "seconds"),
        ("--json no/such/folder/x.json", "--json"),
        ("--plot speed.txt", "--plot"),
        ("--plot speed.png --peers none", "--plot compares"),
    ],
)
def test_a_wrong_option_gets_one_line_before_anything_is_measured(run, words, named):
    code, output, errors = run(*words.split())
    assert (code, output) == (2, "")
    assert re.fullmatch(r"bpjit: [^\n]+\n", errors)
    assert named in errors


def test_a_library_that_is_not_installed(monkeypatch):
    absent = {"JAX": replace(PEERS["JAX"], packages=("no-such-package",))}
    monkeypatch.setattr(job, "PEERS", PEERS | absent)
    with pytest.raises(ValueError, match=r"peers: JAX is not installed here: pip install 'bpjit\[peers\]'"):
        job.Job.parse("tiny", "jax", "sgd", "1", "float32", 1.0)
    assert job.Job.parse("tiny", None, "sgd", "1", "float32", 1.0).missing[-1:] == ["JAX"]


@pytest.mark.parametrize("rows", [0, 1])
def test_ctrl_c_prints_the_rows_that_are_complete_and_leaves_no_process(rows, tmp_path):
    path = tmp_path / "speed.json"
    later = ",".join(f"784-{width}-10@128" for width in range(500, 520))
    words = ["--cases", f"tiny,{later}", "--peers", "none", "--seconds", 0.05 if rows else 1000, "--json", path]
    command = [sys.executable, "-m", "bpjit", "bench", *map(str, words)]
    with subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        printed = ""
        while ("tiny" if rows else "case") not in printed:
            printed += process.stdout.readline()
        time.sleep(0.0 if rows else 1.0)
        children = children_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:  # else leaving the block would wait for it
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert re.fullmatch(rf"bpjit: stopped by Ctrl-C: {rows} of \d+ rows are complete\n", errors)
    assert path.exists() == bool(rows)
    assert not rows or [row.case for row in Report.read(path).rows] == ["tiny"]
    assert len(children) >= 2
    deadline = time.monotonic() + 10  # multiprocessing's own helper ends by itself, after its parent
    while left := [pid for pid in children if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def children_of(pid):
    """Processes whose parent it is, as Linux tells."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat")]
    fields = [(stat.partition(" ")[0], stat.rpartition(")")[2].split()) for stat in stats]
    return [int(child) for child, (_, parent, *_) in fields if int(parent) == pid]


# A figure has work behind it. These libraries run in processes of their own, which find them by name.


def honest(case, optimizer, threads, **changed):
    """bpjit once more, with another case or optimiser than it is asked for."""
    return peers.bpjit_run(replace(case, **changed), optimizer, threads)


def idle(case, optimizer, threads):
    return Run(lambda epochs, shuffle: None, honest(case, optimizer, threads).parameters)


def idle_when_timed(case, optimizer, threads):
    run = honest(case, optimizer, threads)
    return Run(lambda epochs, shuffle: None if shuffle else run.train(epochs, shuffle), run.parameters)


def one_step_short(case, optimizer, threads):
    return honest(case, optimizer, threads, samples=case.samples - case.batch_size)


def not_finite(case, optimizer, threads):
    run = honest(case, optimizer, threads)
    return Run(run.train, lambda: [(math.nan * W, b) for W, b in run.parameters()])


def other_dtype(case, optimizer, threads):
    run = honest(case, optimizer, threads)
    return Run(run.train, lambda: [(W.astype(np.float64), b) for W, b in run.parameters()])


def other_optimizer(case, optimizer, threads):
    return honest(case, "sgd" if optimizer == "adam" else "adam", threads)


def other_batches(case, optimizer, threads):
    return honest(case, optimizer, threads, batch_size=case.batch_size // 2)


def fails_when_timed(case, optimizer, threads):
    run = honest(case, optimizer, threads)
    runs = iter([run.train, run.train])
    return Run(lambda epochs, shuffle: next(runs)(epochs, shuffle), run.parameters)


def dies(case, optimizer, threads):
    os.kill(os.getpid(), signal.SIGKILL)


def rows_with(run, monkeypatch):
    monkeypatch.setattr(measure, "ROUNDS", 2)
    both = {"bpjit": PEERS["bpjit"], "other": Peer(run, ("bpjit",))}
    return list(measure.rows({"small": SMALL}, ["sgd"], [1], both, 0.01, lambda title, text: None))


def test_an_honest_library_is_measured(monkeypatch):
    (measured,) = rows_with(honest, monkeypatch)
    assert list(measured.seconds) == ["bpjit", "other"] and measured.left_out == {}


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        (idle, "training changed no parameter"),
        (idle_when_timed, "training changed no parameter"),
        (one_step_short, "does not do the same work"),
        (other_optimizer, "does not do the same work"),
        (other_batches, "does not do the same work"),
        (other_dtype, "another dtype"),
        (not_finite, "not finite"),
        (fails_when_timed, "StopIteration"),
    ],
)
def test_a_figure_without_the_work_is_refused(run, complaint, here, monkeypatch):
    with pytest.raises(measure.MeasurementError, match=f"^small, sgd, 1 thread: other: .*{complaint}"):
        rows_with(run, monkeypatch)


def test_a_library_whose_process_dies_is_left_out(monkeypatch):
    (measured,) = rows_with(dies, monkeypatch)
    assert measured.left_out == {"other": "its process ended with exit code -9"}


def test_what_fails_is_one_line_and_no_file(run, here, monkeypatch, tmp_path):
    monkeypatch.setattr(job, "PEERS", PEERS | {"scikit-learn": replace(PEERS["scikit-learn"], run=idle)})
    path = tmp_path / "speed.json"
    code, _, errors = run(*SHORT, "--peers", "scikit-learn", "--json", path)
    assert (code, errors) == (1, "bpjit: tiny, adam, 1 thread: scikit-learn: training changed no parameter\n")
    assert not path.exists()


# Each library does the same work. Those that the test environment has not are there for the external tests.


def libraries():
    """torch.compile needs a C++ compiler, too, and uses what Python and PyTorch deprecate."""
    for name in peers.installed({name: peer.packages for name, peer in PEERS.items()}):
        marks = [] if name in ("bpjit", "scikit-learn") else [pytest.mark.external]
        if name == "torch.compile":
            marks.append(pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"))
        if name != "torch.compile" or shutil.which(os.environ.get("CXX", "g++")):
            yield pytest.param(name, marks=marks)


LIBRARIES = list(libraries())


def flat(parameters):
    return np.concatenate([array.ravel() for pair in parameters for array in pair])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("sizes", ["6-8-3@10", "6-8-1@10", "6-3@10"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_an_epoch_leads_where_bpjits_leads(library, sizes, optimizer, dtype):
    """Within the roundings of 100 steps, each of which moves a parameter by some 1e-5 of itself; scikit-learn's Adam
    adds its epsilon elsewhere.
    """
    case = cases.case(sizes, dtype)
    X, t = cases.data(case)
    trainer = cases.trainer(case, optimizer, threads=1, shuffle=False)
    begun, wanted = flat(trainer.net.parameters()), trainer.net
    trainer.fit(X, t, epochs=1)
    run = PEERS[library].run(case, optimizer, 1)
    run.train(1, False)
    found = cases.network(case)
    found.set_parameters(run.parameters())
    assert {array.dtype for pair in run.parameters() for array in pair} == {np.dtype(dtype)}
    assert found.loss(X, t) == pytest.approx(wanted.loss(X, t), rel={"float32": 1e-6, "float64": 1e-8}[dtype])
    error = np.linalg.norm(flat(run.parameters()) - flat(wanted.parameters()))
    way = np.linalg.norm(flat(wanted.parameters()) - begun)
    tolerance = {"float32": 2e-4, "float64": 1e-10}[dtype]
    assert error <= way * (1e-3 if (library, optimizer) == ("scikit-learn", "adam") else tolerance)


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_epoch_is_shuffled(library):
    """Adam's way depends on the order; roundings of float64 do not show at 1e-6."""
    case = cases.case("6-8-3@10", "float64")
    ends = []
    for shuffles in [(False, False), (False, True), (True, True)]:
        run = PEERS[library].run(case, "adam", 1)
        for shuffle in shuffles:
            run.train(1, shuffle)
        ends.append(flat(run.parameters()))
    way = np.linalg.norm(ends[0] - flat(cases.network(case).parameters()))
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert np.linalg.norm(ends[one] - ends[other]) > 1e-6 * way


# Cases, processes, tables and pictures.


@pytest.mark.parametrize("name", cases.CASES)
def test_a_case_is_what_its_notation_says(name):
    case = cases.CASES[name]
    again = cases.case(case.notation)
    assert (again.sizes, again.batch_size, again.notation) == (case.sizes, case.batch_size, case.notation)
    assert cases.case(name, "float64") == replace(case, dtype="float64")


@pytest.mark.parametrize("text", ["2-1@1", "784-10@4096", "8192-8192x3-10@512"])
def test_an_epoch_is_some_whole_mini_batches(text):
    case = cases.case(text)
    assert case.samples % case.batch_size == 0 and 10 <= case.steps <= 100


def test_data_have_the_dtype_and_every_class():
    X, t = cases.data(cases.case("5-7@3", "float64"))
    assert X.dtype == np.float64 and X.std() == pytest.approx(1, abs=0.05)
    assert set(t) == set(range(7)) and np.ptp(np.bincount(t)) <= 1


class Settings:
    """What a process was given."""

    def get(self):
        allowed = os.sched_getaffinity(0)
        return os.environ["OMP_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"], len(allowed), os.getpid()


def test_a_worker_has_its_own_process_and_threads():
    before = dict(os.environ), os.sched_getaffinity(0)
    with workers.Worker(1, Settings) as worker:
        *given, pid = worker.call("get")
    assert given == ["1", "1", 1] and pid != os.getpid()
    assert (dict(os.environ), os.sched_getaffinity(0)) == before
    assert workers.fresh(1, os.getenv, "OMP_NUM_THREADS") == "1"


def test_what_a_worker_raises_is_one_line():
    with workers.Worker(1, list) as worker:
        with pytest.raises(workers.WorkerError, match=r"^IndexError: pop from empty list$"):
            worker.call("pop")


def test_figures_of_a_row():
    measured = row(JAX=[7e-6, 5e-6])
    assert (measured.best(), measured.spread, measured.rate, measured.share) == (2e-6, 1.0, 5e8, 0.5)
    assert measured.ratio("JAX") == pytest.approx(2.5) and math.isnan(measured.ratio("PyTorch"))
    assert row(threads=2).share == 0.25


def test_a_narrow_terminal_has_fewer_columns():
    shown = report.columns(["PyTorch", "torch.compile", "JAX", "scikit-learn"], ["sgd"], [1])
    networks = {name: case.notation for name, case in cases.CASES.items()}
    wide, narrow = (report.Text(shown, networks, width) for width in (200, 80))
    assert "network" in wide.header() and "network" not in narrow.header()
    measured = row(JAX=[5e-6], PyTorch=[2e-3])
    for text in (wide, narrow):
        lines = [*text.header().splitlines(), text.line(measured)]
        assert len(lines) == 3 and len(set(map(len, lines[1:]))) == 1
        assert re.search(r"^mnist .* 2\.0  .* 100%  .* 50%  .*1000 .*–  .*2\.50  .*–$", text.line(measured))
    assert max(map(len, narrow.header().splitlines())) <= 80


def test_markdown_has_a_line_a_row_and_the_summary_a_line_a_library():
    both = a_report(row(JAX=[5e-6]), row(JAX=[9e-6], optimizer="sgd"), row(JAX=[1e-6], threads=2))
    lines = report.markdown(both).splitlines()
    assert "Z80, 2 cores to use; bpjit 1.0, JAX 2.0; 2026-11-01; a core's peak" in lines[0]
    assert lines[0].startswith("Adam and SGD, 1 thread and 2 threads, float32; ")
    assert lines[2].startswith(
        "| case | network | optimiser | threads | µs a step | spread | GFLOP/s | of peak | JAX |"
    )
    assert lines[4] == "| mnist | 784-128-10@128 | adam | 1 | 2.0 | 100% | 0.5 | 50% | 2.50 |"
    assert len(lines) == 4 + 3
    assert report.summary(both).splitlines()[-1] == "| JAX | 3.50 (2.50 … 4.50) | 0.50 (0.50 … 0.50) |"


def test_the_documents_take_their_figures_from_a_run(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "speed.json").write_text(a_report(row(JAX=[5e-6])).to_json())
    include = tmp_path / "docs" / "include.py"
    include.write_bytes((ROOT / "docs" / "include.py").read_bytes())
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- summary: docs/speed.json -->\nold\n<!-- end -->\nz\n")
    command = [sys.executable, str(include)]
    assert subprocess.run([*command, "--check"], env=environment(), stdout=subprocess.DEVNULL).returncode == 1
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    assert subprocess.run([*command, "--check"], env=environment()).returncode == 0
    text = page.read_text()
    assert text.startswith("a\n<!-- summary: docs/speed.json -->\n\nAdam, 1 thread") and text.endswith(
        "<!-- end -->\nz\n"
    )
    assert "| JAX | 2.50 (2.50 … 2.50) |" in text and "old" not in text


def test_the_chart_has_a_bar_for_each_ratio(tmp_path):
    other = row("deep", scikit_learn=[1e-6], JAX=[9e-6])
    path = tmp_path / "speed.png"
    figure = chart.chart(a_report(row(JAX=[5e-6]), other, row(JAX=[3e-6], optimizer="sgd")), path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    adam, sgd = figure.axes
    assert (adam.get_title(), sgd.get_title()) == ("Adam, 1 thread", "SGD, 1 thread")
    assert [round(bar.get_x() + bar.get_width(), 6) for bar in adam.patches] == [2.5, 4.5, 0.5]
    assert [round(bar.get_x() + bar.get_width(), 6) for bar in sgd.patches] == [1.5]
    assert [label.get_text() for label in adam.get_yticklabels()] == ["mnist\n784-128-10@128", "deep\n784-128-10@128"]
    with pytest.raises(ValueError, match="nothing to draw"):
        chart.chart(a_report(row()))
