"""Stopped, killed, interrupted or copied, and gone on with: the bits of the uninterrupted run."""

import copy
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from runs import classes, environment, state_bits, trainer

import bpjit
from bpjit.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")


def interrupted_and_resumed(k, path, X, t, make, **options):
    """Stopped after k steps, and gone on with by what the file holds."""
    one = make()
    one.fit(X, t, epochs=3, max_steps=k, **options)
    one.checkpoint(path)
    resumed = bpjit.Trainer.resume(path)
    assert state_bits(resumed) == state_bits(one)
    resumed.fit(X, t, **options)
    return resumed


OPTIMIZERS = [bpjit.Adam(learning_rate=0.1), bpjit.SGD(learning_rate=0.1, momentum=0.9, nesterov=True)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["Adam", "Nesterov"])
@pytest.mark.parametrize("shuffle", [True, False, "orders"])
@pytest.mark.parametrize("watched", [False, True])
def test_interrupted_after_any_step(optimizer, shuffle, watched, tmp_path):
    X, t = classes(17)
    if shuffle == "orders":
        shuffle = [np.random.default_rng(epoch).permutation(17) for epoch in range(3)]
    options = {"validation": classes(7, seed=1)} if watched else {}

    def make():
        return trainer(optimizer, shuffle=shuffle)

    whole = make()
    losses = whole.fit(X, t, epochs=3, **options)["loss"]
    for k in range(1, 12):  # of 4 steps an epoch; after the twelfth nothing is left
        resumed = interrupted_and_resumed(k, tmp_path / "run.ckpt", X, t, make, **options)
        assert state_bits(resumed) == state_bits(whole)
        assert resumed.history["loss"] == losses
        if watched:
            assert resumed.history["validation_loss"] == whole.history["validation_loss"]


@pytest.mark.variants
def test_interrupted_again_and_again(tmp_path):
    X, t = classes()
    whole, path = trainer(), tmp_path / "run.ckpt"
    whole.fit(X, t, epochs=4)
    one = trainer()
    one.fit(X, t, epochs=4, max_steps=3)
    while one.history.epochs < 4:
        one.checkpoint(path)
        one = bpjit.Trainer.resume(path)
        one.fit(X, t, max_steps=3)
    assert state_bits(one) == state_bits(whole)


def test_a_resumed_trainer_is_like_the_first_in_all(tmp_path):
    X, t = classes()
    orders = [np.random.default_rng(epoch).permutation(23) for epoch in range(4)]
    one = trainer(
        bpjit.Adam(learning_rate=0.1, betas=(0.8, 0.9)), batch_size=7, threads=3, shuffle=orders, seed=2**64 - 1
    )
    one.fit(X, t, epochs=4, max_steps=6, validation=(X, t))
    one.checkpoint(tmp_path / "run.ckpt")
    resumed = bpjit.Trainer.resume(tmp_path / "run.ckpt")
    for name in ("optimizer", "batch_size", "threads", "seed"):
        assert getattr(resumed, name) == getattr(one, name)
    assert all(np.array_equal(a, b) for a, b in zip(resumed.shuffle, orders, strict=True))
    assert resumed.net.configuration() == one.net.configuration()
    assert resumed.net.seed == one.net.seed
    assert dict(resumed.history) == dict(one.history)
    assert resumed.net.history is resumed.history


def test_an_unfinished_epoch_goes_on_with_its_own_data(tmp_path):
    X, t = classes()
    one = trainer()
    one.fit(X, t, epochs=3, max_steps=7)
    one.checkpoint(tmp_path / "run.ckpt")
    resumed = bpjit.Trainer.resume(tmp_path / "run.ckpt")
    other_X, other_t = X.copy(), t.copy()
    other_X[20, 2] = np.nextafter(other_X[20, 2], 9)
    other_t[3] = 1 - other_t[3]
    for each in (one, resumed):
        before = state_bits(each)
        for data in ((other_X, t), (X, other_t), (X[::-1], t[::-1]), (X[:-1], t[:-1]), classes(seed=5)):
            with pytest.raises(ValueError, match="not those that epoch 2 began with"):
                each.fit(*data)
        assert state_bits(each) == before
    resumed.fit(X.copy(), t.copy(), epochs=1)  # the same numbers elsewhere in memory
    resumed.fit(other_X, other_t, epochs=1)  # from an epoch's end on, any


def test_checkpoints_while_it_trains(tmp_path, short_calls):
    X, t = classes()
    path, seen = tmp_path / "run.ckpt", []

    class Watching(Progress):
        def update(self, epoch, samples_done, loss):
            self.look()

        def epoch_end(self, epoch, record):
            self.look()

        def look(self):
            if path.exists():
                seen.append(bpjit.Trainer.resume(path).state()[1]["position"]["updates"])

    trainer().fit(X, t, epochs=2, checkpoint=path)
    assert bpjit.Trainer.resume(path).history.epochs == 2
    path.unlink()
    trainer().fit(X, t, epochs=3, checkpoint=path, progress=Watching())
    assert set(seen) == {5, 10}
    path.unlink()
    seen.clear()
    one = trainer()
    one.fit(X, t, epochs=3, checkpoint=path, checkpoint_every=2, progress=Watching())
    assert set(seen) >= {2, 4, 6, 8, 12}
    assert state_bits(bpjit.Trainer.resume(path)) == state_bits(one)


KILLED = """
import os, signal, sys
import bpjit, runs
from bpjit.progress import Progress

class Killing(Progress):
    def update(self, epoch, samples_done, loss):
        if epoch == 3 and samples_done >= 300:
            os.kill(os.getpid(), signal.SIGKILL)

X, t = runs.classes(640, 6, 3)
net = bpjit.Network([6, 20, 3], seed=0)
trainer = bpjit.Trainer(net, bpjit.Adam(learning_rate=0.01), batch_size=32, seed=5)
trainer.fit(X, t, epochs=4, checkpoint=sys.argv[1], checkpoint_every=3, progress=Killing())
"""


def test_killed_in_mid_epoch_and_resumed_in_another_process(tmp_path):
    path = tmp_path / "run.ckpt"
    command = [sys.executable, "-c", KILLED, path]
    assert subprocess.run(command, env=environment(), timeout=120).returncode == -signal.SIGKILL
    resumed = bpjit.Trainer.resume(path)
    position = resumed.state()[1]["position"]
    assert (position["epoch"], position["step"]) == (2, 8)  # 48 updates, of 20 an epoch
    X, t = classes(640, 6, 3)
    resumed.fit(X, t)
    whole = bpjit.Trainer(bpjit.Network([6, 20, 3], seed=0), bpjit.Adam(learning_rate=0.01), batch_size=32, seed=5)
    whole.fit(X, t, epochs=4)
    assert state_bits(resumed) == state_bits(whole)
    assert resumed.history["loss"] == whole.history["loss"]


@pytest.mark.nojit
@pytest.mark.parametrize("make", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
def test_copies_of_a_trainer_go_on_alike(make, steps):
    X, t = classes()
    one = trainer()
    for _ in range(steps):
        one.fit(X, t, epochs=1, max_steps=1)
    other = make(one)
    before = state_bits(one)
    other.fit(X, t, epochs=2)
    assert state_bits(one) == before
    one.fit(X, t, epochs=2)
    assert state_bits(one) == state_bits(other)
    assert other.net.history is other.history


# Ctrl-C

INTERRUPTED = """
import json, os, sys, time
import bpjit, runs
from bpjit.progress import Progress

class Ready(Progress):
    said = False
    def update(self, *_):
        if not self.said:
            print("ready", flush=True)
        self.said = True

X, t = runs.classes(20_000, 40, 10)
options = {"validation": (X[:500], t[:500])} if sys.argv[1] == "watched" else {}

def make():
    return bpjit.Trainer(bpjit.Network([40, 60, 10], seed=0), batch_size=16, seed=0, threads=1)

trainer = make()
try:
    trainer.fit(X, t, epochs=10**6, progress=Ready(), **options)
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
position = trainer.state()[1]["position"]
same = make()
same.fit(X, t, epochs=10**6, max_steps=position["updates"], **options)
assert trainer.history.epochs == position["epoch"] == len(trainer.net.history["seconds"])
# Ctrl-C may have come while the last epoch's scores were taken.
assert runs.state_bits(trainer, scores=False) == runs.state_bits(same, scores=False)
assert trainer.net.evaluate(X, t)["accuracy"] > 0.3
trainer.fit(X, t, max_steps=10)
print(position["updates"])
"""


@pytest.mark.alone
@pytest.mark.parametrize("watched", ["watched", "alone"])
def test_ctrl_c_ends_a_fit_within_a_second(watched):
    command = [sys.executable, "-c", INTERRUPTED, watched]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)
            sent = time.monotonic()  # one clock for all processes
            process.send_signal(signal.SIGINT)
            ended = float(process.stdout.readline())
            updates = int(process.stdout.readline())
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert ended - sent < 1.0
    assert updates > 0


def test_ctrl_c_at_any_moment_leaves_whole_steps(short_calls):
    """Every call that a progress display gets is a moment between two of the trainer's own lines."""
    X, t = classes()

    class Interrupting(Progress):
        def __init__(self, call):
            self.left = call

        def tick(self, *_):
            self.left -= 1
            if not self.left:
                signal.raise_signal(signal.SIGINT)

        update = epoch_end = tick

    class StepByStep(bpjit.Callback):
        def on_batch_end(self, trainer, loss):
            pass

    for call in range(1, 12):  # three epochs make 15: four updates each, and its end
        one = trainer()
        with pytest.raises(KeyboardInterrupt):
            one.fit(X, t, epochs=3, progress=Interrupting(call), callbacks=StepByStep())
        position = one.state()[1]["position"]
        assert one.history.epochs == position["epoch"]
        same = trainer()
        same.fit(X, t, epochs=3, max_steps=position["updates"])
        assert state_bits(one, scores=False) == state_bits(same, scores=False)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if position["epoch"] < 3:
            one.fit(X, t)


def test_a_program_that_handles_ctrl_c_itself(short_calls):
    """Its handler is called once the step is whole, and stays."""
    X, t = classes()
    one, calls = trainer(), []

    class Stop(Exception):
        pass

    def handler(number, frame):
        calls.append(number)
        raise Stop

    class Interrupting(Progress):
        def update(self, epoch, samples_done, loss):
            signal.raise_signal(signal.SIGINT)
            calls.append("update")

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(Stop):
            one.fit(X, t, epochs=3, progress=Interrupting())
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls == ["update", signal.SIGINT]
    same = trainer()
    same.fit(X, t, epochs=3, max_steps=one.state()[1]["position"]["updates"])
    assert state_bits(one) == state_bits(same)
