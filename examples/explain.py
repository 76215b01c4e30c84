"""Back-propagation on a network of one's own: two moons are learnt, then one sample is explained.

`python examples/explain.py` prints the derivation of a few numbers. With a folder behind it, it writes two pages there,
too: the whole derivation, and a film of the training.
"""

import sys

import numpy as np

import bpjit


def two_moons(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points (samples, 2) on two half circles that reach into each other, and which of the two each is on."""
    rng = np.random.default_rng(seed)
    angle, t = np.pi * rng.random(samples), np.arange(samples) % 2
    upper, lower = (np.cos(angle), np.sin(angle)), (1 - np.cos(angle), 0.5 - np.sin(angle))
    return np.where(t, lower, upper).T + rng.normal(scale=0.1, size=(samples, 2)), t


X, t = two_moons(400)
net = bpjit.Network([2, 8, 6, 1], activation="tanh", loss="binary_cross_entropy", dtype="float64", seed=0)
trainer = bpjit.Trainer(net, bpjit.Adam(learning_rate=0.02), seed=0)
film = trainer.film(X, t, steps=390)  # on a copy
trainer.fit(X, t, epochs=30)  # which makes the same 390 steps
print("loss and accuracy:", net.evaluate(X, t, metrics=["loss", "accuracy"]))

unsure = int(np.argmin(np.abs(net.predict(X)[:, 0] - 0.5)))  # the sample that there is most to learn from
trace = trainer.trace(X[unsure], t[unsure])  # the step that the trainer would make from it

delta = trace.term("delta", l=1, i=3)
print(delta, "\n\nand its parts, the largest first:")
for part in delta.parts:
    print(f"{part.value:12.5f}  {part.equation} = {part.substituted}")

print("\nThe step, by Adam:", trace.term("W", l=1, i=3, j=0), sep="\n")
print("\nBeside differences of the cost:", trace.check(), sep="\n")
if len(sys.argv) > 1:
    trace.html(f"{sys.argv[1]}/trace.html")
    film.html(f"{sys.argv[1]}/film.html")
