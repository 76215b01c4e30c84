"""What a page plays of a film: losses, mini-batches, paths and a surface, as few bytes for JSON."""

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .requests import penalties_of
from .update import Update

if TYPE_CHECKING:
    from .film import Film

STEPS = 1000
"""Steps that a page plays."""
PATHS = 150_000
"""Numbers of the paths and gradients of all parameters that a page holds, 0.8 MB of it."""
MOVED, FEWER = 200, 40_000
"""Parameters that are kept of a network that has too many, those that moved most; and numbers of their paths: where
there are many parameters, the trace of a step takes most of the page."""
PIXELS = 600_000
"""Bytes of the surfaces, 0.8 MB of the page."""
LEVELS = 65535
"""Of a pixel: fewer would show where one class gives way to the other as a staircase, as long as answers are alike."""
FINEST = 40
"""Pixels along each side of a surface, if there is room."""
POINTS = 1000
"""Samples that are drawn on it."""
ROWS = 30_000
"""Numbers of samples, over all mini-batches."""
NOT_DESCENT = ("max_norm", "clip_value", "clip_norm", "dropout", "input_noise")
"""What makes a step another than that of the gradient which is shown."""
PROBABILITIES = ("softmax", "sigmoid")


def content(film: "Film") -> dict[str, Any]:
    """What `Film.data` returns.

    Numbers of samples are their places among all S. Arrays are base64 of little-endian numbers: `path` float32
    (N + 1, kept), `gradient` float32 (N, kept), both with a column for each of `index`; `rows` uint32, those of step k
    being rows[starts[k]:starts[k + 1]], of `sizes` [k] in all.
    """
    if film.steps > STEPS:
        raise ValueError(f"the film has {film.steps} steps, and a page plays {STEPS}: give fewer steps")
    numbers = np.asarray(film.row_numbers)
    if len(numbers) != len(film.X):
        raise ValueError(f"row_numbers has {len(numbers)} numbers, but the film has {len(film.X)} samples")
    rows = [each[: max(1, ROWS // film.steps)] for each in film.rows]
    return {
        "steps": film.steps,
        "optimizer": repr(film.optimizer),
        "descent": _descent(film),
        "network": list(film.sizes),
        "samples": len(film.X),
        "epoch": film.epoch.tolist(),
        "batchLoss": _numbers(film.batch_loss),
        "loss": _numbers(film.loss),
        "rate": _numbers(film.learning_rate),
        "gradientNorm": _numbers(film.gradient_norms),
        "rows": {
            "sizes": [len(each) for each in film.rows],
            "starts": np.cumsum([0, *map(len, rows)]).tolist(),
            "numbers": _base64(np.concatenate(rows), "<u4"),
            "names": None if _are_places(numbers) else numbers.tolist(),
        },
        "weights": weights(film),
        "surface": surface(film) if film.sizes[0] == 2 else None,
        "notes": list(film.notes),
    }


def _descent(film: "Film") -> list[float | None]:
    """Of each layer 1 … L, how many times the learning rate its weights' step of E10 has; None where it is not that."""
    begun = film._trainer
    update = Update(begun.optimizer, layers=begun._optimizers, penalties=penalties_of(begun))
    others = any(getattr(begun.regularization, name) for name in NOT_DESCENT)
    rate = getattr(begun.optimizer, "learning_rate", 0.0)
    return [
        None if others or not rate or not update.is_descent(l, False) else update.rate(l, False) / rate
        for l in range(1, len(film.sizes))
    ]


def weights(film: "Film") -> dict[str, Any]:
    """The paths of all parameters, or of those that moved most; `most` is the column of the first of these."""
    paths = film.paths.astype(np.float32)
    kept, all_of_them = np.arange(paths.shape[1]), paths.shape[1]
    moved = np.abs(np.diff(film.paths.astype(np.float64), axis=0)).sum(axis=0)
    if all_of_them * (2 * film.steps + 1) > PATHS:
        most = max(1, min(MOVED, FEWER // (2 * film.steps + 1)))
        kept = np.sort(np.argsort(-moved, kind="stable")[:most])
    return {
        "all": all_of_them,
        "most": int(moved[kept].argmax()),
        "index": film.index[kept].tolist(),
        "path": _base64(paths[:, kept], "<f4"),
        "gradient": _base64(film.gradient_paths[:, kept], "<f4"),
    }


# --------------------------------------------------------------------------------------------------- surface


def surface(film: "Film") -> dict[str, Any]:
    """The surface, as `pixels` uint16 (N + 1, size, size), and the samples on it.

    kind: "two", a number for two classes, or "value", the first output, as a share of 0 … LEVELS between low and high;
    "classes", where `classes` has the class of each pixel, and the share says how sure the answer is.
    """
    loss = film._trainer.net._model.loss
    outputs = film.sizes[-1]
    many = loss.classes == "one" and outputs > 2
    size = max(12, min(FINEST, math.isqrt(PIXELS // ((film.steps + 1) * (2 + many)))))
    drawn = film.surface(size)
    kind = "classes" if many else "two" if loss.classes is not None and outputs <= 2 else "value"
    kind = "value" if loss.classes == "each" and outputs > 1 else kind
    values, low, high, threshold = _one_number(film, kind, drawn.values)
    places = _places(film)
    t = film.t[places]
    target = t.argmax(axis=1) if t.ndim == 2 and many else t if t.ndim == 1 else t[:, -1 if kind == "two" else 0]
    target = (target > 0) * 1 if kind == "two" and target.min() < 0 else target  # hinge: −1 and 1
    share = np.clip((values - low) / ((high - low) or 1.0), 0.0, 1.0)
    return {
        "kind": kind,
        "size": size,
        "x": [float(drawn.x[0]), float(drawn.x[-1])],
        "y": [float(drawn.y[0]), float(drawn.y[-1])],
        "low": low,
        "high": high,
        "threshold": threshold,
        "outputs": outputs,
        "pixels": _base64(np.rint(np.nan_to_num(share, nan=0.5) * LEVELS), "<u2"),
        "classes": _base64(drawn.values.argmax(axis=-1), "u1") if many else None,
        "points": _base64(film.X[places], "<f4"),
        "targets": _numbers(target),
        "places": places.tolist(),
        "features": _names(film.features, 2, "features"),
        "names": _names(film.classes, outputs if loss.classes == "one" else 0, "classes"),
    }


def _names(given: Any, count: int, argument: str) -> list[str] | None:
    """What was set, as texts: an array's and an index's, too. count: how many are needed at least."""
    if given is None:
        return None
    names = list(map(str, given))
    if len(names) < count:
        raise ValueError(f"{argument} has {len(names)} names, but {count} are needed")
    return names


def _one_number(film: "Film", kind: str, values: np.ndarray) -> tuple[np.ndarray, float, float, float | None]:
    """What a pixel says, its least and greatest value, and where one class gives way to the other."""
    net = film._trainer.net
    values = values.astype(np.float64)
    of_probability = net.output in PROBABILITIES
    if kind == "classes":
        best = values.max(axis=-1)
        return best, 0.0, 1.0 if of_probability else _greatest(np.abs(best)), None
    if kind == "two":
        if net.output == "softmax" or values.shape[-1] == 1:
            one, threshold = values[..., -1], net._model.loss.threshold
        else:
            one, threshold = values[..., 1] - values[..., 0], 0.0
        if of_probability and (net.output == "softmax" or values.shape[-1] == 1):
            return one, 0.0, 1.0, threshold
        most = _greatest(np.abs(one - threshold))
        return one, threshold - most, threshold + most, threshold
    t = film.t if film.t.ndim == 1 else film.t[:, 0]
    one = values[..., 0]
    finite = np.append(one[np.isfinite(one)], t)
    return one, float(finite.min()), float(finite.max()), None


def _greatest(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def _places(film: "Film") -> np.ndarray:
    """Which samples are drawn: all, or those of the first mini-batches and others."""
    S = len(film.X)
    if S <= POINTS:
        return np.arange(S)
    first = list(dict.fromkeys(np.concatenate(film.rows).tolist()))[: POINTS // 2]
    others = np.setdiff1d(np.arange(S), first)
    chosen = others[np.linspace(0, len(others) - 1, POINTS - len(first)).astype(int)]
    return np.sort(np.append(np.array(first, int), chosen))


def _are_places(numbers: np.ndarray) -> bool:
    return bool((numbers == np.arange(len(numbers))).all())


def _numbers(values: np.ndarray) -> list[float | None]:
    """To seven digits; null for what is not finite, which JSON does not know."""
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in np.asarray(values, np.float64)]


def _base64(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.dtype(kind)).tobytes()).decode("ascii")
