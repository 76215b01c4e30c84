"""Small tables as files, whose answers can be learnt."""

import csv
from pathlib import Path

import numpy as np

TOWNS, JOBS = ("Rome", "Bern", "Oslo", "Lima"), ("smith", "cook", "clerk")


def people(path: Path, rows: int = 400, gaps: int = 0, seed: int = 0) -> Path:
    """A table with a number, texts and a switch, and an income, high or low, that follows from them."""
    rng = np.random.default_rng(seed)
    town, job = rng.integers(len(TOWNS), size=rows), rng.integers(len(JOBS), size=rows)
    age, member = rng.integers(18, 80, rows), rng.random(rows) < 0.5
    income = (age - 45) / 15 + np.array([1, 0, -1, 0.3])[town] + 1.5 * (job == 1) + 0.7 * member > 0.9
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "age", "town", "job", "member", "income"])
        for k in range(rows):
            shown_age = "" if k < gaps else age[k]
            words = [k, shown_age, TOWNS[town[k]], JOBS[job[k]], member[k], "high" if income[k] else "low"]
            writer.writerow(words)
    return path


def houses(path: Path, rows: int = 300, seed: int = 0) -> Path:
    """A table of numbers, and a price that follows from them."""
    rng = np.random.default_rng(seed)
    area, rooms, noise = rng.uniform(30, 200, rows), rng.integers(1, 7, rows), rng.normal(0, 5000, rows)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["area", "rooms", "price"])
        for k in range(rows):
            writer.writerow([f"{area[k]:.1f}", rooms[k], f"{3000 * area[k] + 20000 * rooms[k] + noise[k]:.2f}"])
    return path
