"""The pages that show how bpjit is used: their code runs, from top to bottom; their links lead somewhere."""

import re

import pytest
from runs import CHECKOUT

BLOCK = re.compile(r"(?<!-->\n)^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""But for code that is included from the source."""


@pytest.mark.usefixtures("one_thread", "own_entries")
@pytest.mark.parametrize(
    ("page", "least", "printed"),
    [
        (
            "README.md",
            2,
            "\nGradients of Network(64-99-10, bell, softmax, cross_entropy(label_smoothing=0.1), float32)\n",
        ),
        ("docs/training.md", 8, "\nmax_steps mini-batches are done\n"),
        ("docs/data.md", 5, "3 epochs of mini-batches\n"),
        ("docs/tables.md", 3, "200 rows of prediction, probability_flat, probability_house\n"),
        ("docs/regularization.md", 3, " max_norm={1: 3.0, 3: 2.0}, clip_norm=1.0)\n"),
        ("docs/sklearn.md", 2, " epochs; True\n"),
        ("docs/explain.md", 3, "dropout is not in this trace: every unit is kept, as in predict"),
        ("docs/own.md", 9, "Gradients of Network(64-32-10, swish, softmax, cross_entropy, float32)\n"),
    ],
)
def test_the_page_runs(page, least, printed, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((CHECKOUT / page).read_text(encoding="utf-8"))
    assert len(blocks) >= least
    names = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert printed in capsys.readouterr().out


FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page):
    """What GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")]), ids=lambda page: page.name
)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if not link.startswith(("http://", "https://")):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"
