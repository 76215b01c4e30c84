"""docs/own.md: its code runs, from top to bottom."""

import re

import pytest
from runs import CHECKOUT


@pytest.mark.usefixtures("one_thread", "own_entries")
def test_the_page_runs(capsys):
    page = (CHECKOUT / "docs" / "own.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    names = {"__name__": "own_page"}
    for block in blocks:
        exec(compile(block, "docs/own.md", "exec"), names)
    assert capsys.readouterr().out.startswith(
        "Gradients of Network(64-32-10, swish, softmax, cross_entropy, float32)\n"
    )
