"""What a command printed, and the samples that it was tested on."""

import re

from sklearn.model_selection import train_test_split

from bpjit import datasets


def row(output, name):
    """The value that stands beside a name in what was printed."""
    return re.search(rf"^{name} +(.*?) *$", output, re.MULTILINE).group(1)


def digits_split(seed=0):
    X, t = datasets.digits()
    return train_test_split(X, t, test_size=0.2, stratify=t, random_state=seed)
