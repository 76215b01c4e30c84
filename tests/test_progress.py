"""Displays of progress, seen as a user sees them: what standard error receives, a terminal or not."""

import io
import re
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from terminal import run_on_terminal, without_escapes

from bpjit.progress import Progress, reporter

COMPILING = "compiling the kernels for this CPU"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Plan:
    threads = 2
    reason = "a mini-batch is large enough"


class Stream(io.StringIO):
    """Standard error of one of three kinds: a file, a terminal without rich and a terminal with it."""

    def __init__(self, kind, monkeypatch):
        super().__init__()
        self.kind = kind
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)
        if kind == "line":
            for name in ("rich", "rich.console", "rich.live"):
                monkeypatch.setitem(sys.modules, name, None)

    def isatty(self):
        return self.kind != "log"

    def display(self):
        # Not in the fixture: pytest sets its own standard error between a fixture and its test.
        self.monkeypatch.setattr(sys, "stderr", self)
        return reporter(True)


@pytest.fixture(params=["log", "line", "bar"])
def stream(request, monkeypatch):
    return Stream(request.param, monkeypatch)


def written(stream):
    return without_escapes(stream.getvalue())


def last_line(stream):
    """What stands on the last line that has something on it."""
    return [part for part in re.split(r"[\r\n]", written(stream)) if part.strip()][-1].rstrip()


def run(display, epochs=3, samples=1000):
    """A run of a few hundredths of a second."""
    display.start(epochs, samples, 32, description="64-32-10 network", plan=Plan())
    with display.compiling():
        pass
    for epoch in range(1, epochs + 1):
        time.sleep(0.01)
        display.update(epoch, samples // 2, 2.0 / epoch)
        display.epoch_end(epoch, {"loss": 1.0 / epoch, "validation_loss": 0.7, "validation_accuracy": 0.9625})


def test_the_run_is_described_and_its_plan_is_given_a_reason(stream):
    display = stream.display()
    run(display)
    display.finish()
    assert "64-32-10 network" in written(stream)
    assert "2 threads: a mini-batch is large enough" in written(stream)


def test_the_end_shows_epoch_loss_score_speed_and_time(stream):
    display = stream.display()
    run(display)
    display.finish()
    line = last_line(stream)
    for shown in (r"^epoch 3/3 ", r"loss 0\.3333", r"val accuracy 0\.9625", r"k samples/s", r"in \d\.\d s"):
        assert re.search(shown, line), f"{shown} not in {line!r}"


def test_on_the_way_the_time_left_is_shown(stream):
    display = stream.display()
    display.start(1000, 1000, 32)
    time.sleep(0.02)
    display.epoch_end(1, {"loss": 1.25})
    assert re.search(r"epoch 1/1000.* loss 1\.2500  .* samples/s  0:\d\d left", last_line(stream))
    display.finish()


def test_the_speed_and_the_time_left_are_right(stream, monkeypatch):
    now = 1000.0
    for module in ("display", "meter"):
        monkeypatch.setattr(f"bpjit.progress.{module}.perf_counter", lambda: now)
    display = stream.display()
    display.start(11, 5000, 32)
    now += 0.3125
    display.epoch_end(1, {"loss": 1.0})
    assert re.search(r" (\S+) samples/s  (\S+) left", last_line(stream)).groups() == ("16k", "0:03")
    display.finish()


def test_epochs_that_lie_behind_do_not_count_for_the_speed(stream):
    display = stream.display()
    display.start(10, 1000, 32, done=8, samples_done=500)
    time.sleep(0.1)
    display.epoch_end(9, {"loss": 1.0})
    display.finish()
    rate, unit = re.search(r"epoch 9/10.* ([\d.]+)(k?) samples/s", last_line(stream)).groups()
    # 500 samples in a little over 0.1 s: not 9,000.
    assert float(rate) * (1000 if unit else 1) <= 5000


def test_only_the_validation_loss_is_shown_where_there_is_no_score(stream):
    display = stream.display()
    display.start(1, 1000, 32)
    display.epoch_end(1, {"loss": 1.0, "validation_loss": 0.75, "seconds": 0.1})
    display.finish()
    assert "val loss 0.7500" in last_line(stream)


def test_an_epoch_that_was_not_validated_leaves_the_last_score(stream):
    display = stream.display()
    display.start(2, 1000, 32)
    display.epoch_end(1, {"loss": 1.0, "validation_loss": 0.75})
    display.epoch_end(2, {"loss": 0.5, "validation_loss": float("nan")})
    display.finish()
    assert "loss 0.5000" in last_line(stream) and "val loss 0.7500" in last_line(stream)


@pytest.fixture
def short_compiling(monkeypatch):
    """A compilation of 0.2 s is news: nobody waits for the real threshold."""
    for module in ("display", "lines"):
        monkeypatch.setattr(f"bpjit.progress.{module}.CACHED", 0.2)


@pytest.mark.alone
def test_compiling_is_shown_while_it_lasts_and_then_its_time(stream, short_compiling):
    display = stream.display()
    display.start(2, 1000, 32)
    with display.compiling():
        time.sleep(0.45)
        during = written(stream)
    after = written(stream)[len(during) :]
    display.finish()
    assert COMPILING in during
    if stream.kind != "log":
        assert re.search(r"once \.\.\. 0\.[2-4] s", during)
    assert re.search(r"compiled the kernels for this CPU in 0\.[4-9] s", after)


def test_kernels_from_the_cache_are_no_news(stream):
    display = stream.display()
    with display.compiling():
        pass
    display.finish()
    assert written(stream) == ""


def test_compiling_does_not_count_for_the_speed(stream):
    display = stream.display()
    display.start(1, 10_000, 32)
    with display.compiling():
        time.sleep(0.4)
    time.sleep(0.05)
    display.epoch_end(1, {"loss": 1.0})
    display.finish()
    seconds = float(re.search(r"in (\d\.\d) s", last_line(stream)).group(1))
    assert seconds < 0.4


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_while_compiling_ends_the_thread_and_is_passed_on(stream, short_compiling, error):
    display = stream.display()
    display.start(2, 1000, 32)
    with pytest.raises(error), display.compiling():
        time.sleep(0.25)
        raise error
    display.finish()
    assert "bpjit-progress" not in {thread.name for thread in threading.enumerate()}
    assert "compiled the kernels" not in written(stream)


def test_an_interrupted_run_leaves_its_last_line_and_a_clean_terminal(stream):
    display = stream.display()
    display.start(5, 1000, 32)
    display.epoch_end(1, {"loss": 1.0})
    display.update(2, 500, 0.5)
    display.finish()
    assert "epoch 2/5" in last_line(stream) and "loss 0.5000" in last_line(stream)
    assert written(stream).endswith("\n")
    assert stream.getvalue().count(HIDE_CURSOR) == stream.getvalue().count(SHOW_CURSOR)
    assert sys.stderr is stream


def test_what_stopped_the_run_stands_below_it(stream):
    display = stream.display()
    run(display, epochs=2)
    display.stopped("loss has not improved")
    display.finish()
    assert last_line(stream) == "stopped: loss has not improved"
    assert re.search(r"epoch 2/2 .* in \d\.\d s", written(stream))
    assert stream.getvalue().count(HIDE_CURSOR) == stream.getvalue().count(SHOW_CURSOR)
    run(display, epochs=2)
    display.finish()
    assert written(stream).count("stopped") == 1


class Cell:
    """What a notebook shows below a cell: IPython.display's part in it, and that of the shell."""

    kernel = "a Jupyter kernel"

    def __init__(self, monkeypatch):
        self.shown, self.updates = [], 0
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: self))
        monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=self.display))

    def display(self, bundle, raw, display_id):
        assert raw and display_id is True
        place = len(self.shown)
        self.shown.append(bundle)

        def update(bundle, raw):
            assert raw
            self.shown[place] = bundle
            self.updates += 1

        return SimpleNamespace(update=update)


def test_a_notebook_has_one_bar_that_changes(monkeypatch, capfd, short_compiling):
    cell = Cell(monkeypatch)
    display = reporter(True)
    with display.compiling():
        time.sleep(0.45)
        assert "compiling the kernels" in cell.shown[0]["text/html"]
    run(display)
    assert cell.updates < 20
    display.stopped("a < b")
    display.finish()
    (bundle,) = cell.shown
    assert '<progress value="1.0000"' in bundle["text/html"] and "stopped: a &lt; b" in bundle["text/html"]
    text = bundle["text/plain"].splitlines()
    assert text[0].startswith("compiled the kernels for this CPU in 0.")
    assert text[1:4] == ["64-32-10 network", "2 threads: a mini-batch is large enough", "stopped: a < b"]
    assert re.search(r"^epoch 3/3  loss 0\.3333  val accuracy 0\.9625 .* in \d\.\d s$", text[4])
    assert capfd.readouterr() == ("", "")


def test_a_shell_without_a_kernel_is_a_terminal(stream, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    display = stream.display()
    run(display)
    display.finish()
    assert "epoch 3/3" in last_line(stream)


NOTEBOOK = """
import numpy as np
import bpjit
X, t = np.random.default_rng(0).normal(size=(2000, 4)).astype("float32"), np.arange(2000) % 3
net = bpjit.Network([4, 8, 3], seed=0)
history = net.fit(X, t, epochs=20, progress=True, threads=1, validation=(X, t))
"""


@pytest.mark.external
@pytest.mark.filterwarnings("ignore")  # those of Jupyter's own packages
def test_in_a_kernel_of_jupyter(tmp_path):
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK), nbformat.v4.new_code_cell("net")])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert '<progress value="1.0000"' in output.data["text/html"] and "\r" not in output.data["text/html"]
    assert re.search(r"epoch 20/20  loss \d\.\d{4}  val accuracy \d\.\d{4} .* in \d+\.\d s$", output.data["text/plain"])
    assert "<table" in notebook.cells[1].outputs[0].data["text/html"]


def test_finish_may_be_called_again_and_without_a_start(stream):
    display = stream.display()
    display.finish()
    assert stream.getvalue() == ""
    run(display)
    display.finish()
    once = stream.getvalue()
    display.finish()
    assert stream.getvalue() == once


def test_a_display_serves_another_run(stream):
    display = stream.display()
    run(display)
    display.finish()
    run(display, epochs=7)
    display.finish()
    assert "epoch 7/7" in last_line(stream)


def test_very_short_epochs_are_not_all_shown(stream):
    display = stream.display()
    display.start(2000, 100, 32)
    for epoch in range(1, 2001):
        display.update(epoch, 50, 1.0)
        display.epoch_end(epoch, {"loss": 1.0})
    display.finish()
    # Ten drawings a second, fewer in a log: 2,000 epochs here take a few hundredths of a second.
    assert len(re.findall(r"epoch \d+/2000", written(stream))) < 20
    assert "epoch 2000/2000" in last_line(stream)


@pytest.mark.alone
def test_a_slow_terminal_does_not_slow_the_run(monkeypatch):
    class Slow(Stream):
        drawings = 0

        def flush(self):
            self.drawings += 1
            time.sleep(0.02)

    stream = Slow("bar", monkeypatch)
    display = stream.display()
    display.start(1, 10_000, 32)
    began = time.perf_counter()
    while time.perf_counter() - began < 0.5:
        display.update(1, 5000, 1.0)
        time.sleep(0.005)
    # A drawing takes 0.02 s or more, so that the next one is 4 s away. At full rate there would be five.
    first_one = stream.drawings
    assert first_one > 0
    began = time.perf_counter()
    display.update(1, 6000, 1.0)
    assert stream.drawings == first_one and time.perf_counter() - began < 0.02
    display.finish()


def test_a_terminal_that_has_gone_does_not_end_the_run(stream):
    display = stream.display()
    display.start(5, 1000, 32)
    stream.close()
    run(display)
    display.finish()


def test_a_narrow_terminal_keeps_one_line(stream, monkeypatch):
    monkeypatch.setenv("COLUMNS", "45")
    display = stream.display()
    run(display)
    display.finish()
    if stream.kind != "log":
        drawings = [part for part in re.split(r"[\r\n]", written(stream)) if part.startswith("epoch")]
        assert drawings and all(len(part.rstrip()) <= 45 for part in drawings)
        assert "loss 0.3333" in last_line(stream)


def test_false_is_silent(capfd):
    display = reporter(False)
    run(display)
    display.finish()
    assert capfd.readouterr() == ("", "")


def test_a_display_of_the_users_own_is_used_as_it_is():
    class Own(Progress):
        pass

    own = Own()
    assert reporter(own) is own


@pytest.mark.parametrize("wrong", [None, 1, "yes"])
def test_anything_else_is_refused(wrong):
    with pytest.raises(TypeError, match="progress"):
        reporter(wrong)


PROGRAM = """
import time
from bpjit.progress import reporter
display = reporter(True)
display.start(2, 1000, 32)
try:
    with display.compiling():
        time.sleep(1.7)
    for epoch in (1, 2):
        time.sleep(0.02)
        print("printed in between")
        display.epoch_end(epoch, {"loss": 1.0 / epoch})
finally:
    display.finish()
"""


@pytest.mark.alone
def test_on_a_real_terminal(tmp_path):
    """What is printed to a file meanwhile goes there, and not to the terminal."""
    with open(tmp_path / "out", "wb") as out:
        code, raw, text = run_on_terminal([sys.executable, "-c", PROGRAM], stdout=out)
    assert code == 0
    assert re.search(COMPILING + r", once \.\.\. 1\.[56] s", text)
    assert "compiled the kernels for this CPU in 1." in text
    assert "epoch 2/2" in text and "loss 0.5000" in text
    assert raw.count(HIDE_CURSOR) == raw.count(SHOW_CURSOR) == 1
    assert (tmp_path / "out").read_text() == "printed in between\n" * 2
    assert "printed" not in text


def test_the_first_epoch_shows_how_many_samples_there_are(stream):
    display = stream.display()
    display.start(11, 0, 32, done=1)
    time.sleep(0.05)
    display.update(2, 3000, 1.0)
    assert "left" not in written(stream)
    time.sleep(0.15)
    display.update(2, 5000, 1.0)
    display.epoch_end(2, {"loss": 1.0})
    time.sleep(0.6)  # a line of a log waits
    display.update(3, 4000, 1.0)
    display.epoch_end(3, {"loss": 1.0})
    rate, left = re.search(r"epoch 3/11.* ([\d.]+)k samples/s  0:(\d\d) left", last_line(stream)).groups()
    # 9000 samples in a little over 0.8 s, and 8 epochs of 4000 left. The machine may have slept longer, not shorter.
    assert 1 < float(rate) < 11.3
    assert int(left) >= 2
    display.finish()
