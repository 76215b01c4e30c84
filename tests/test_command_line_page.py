"""docs/command_line.md: its commands do what it says, in its order."""

import re
import shlex

from commands import row
from runs import CHECKOUT

PAGE = (CHECKOUT / "docs" / "command_line.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rentals.csv").write_bytes((CHECKOUT / "docs" / "rentals.csv").read_bytes())
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "rentals.toml").write_text(toml)
    blocks = re.findall(r"^<!-- runs -->\n```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert [words[:2] for words in commands] == [
        ["bpjit", name] for name in ("train", "predict", "evaluate", "info", "train")
    ]
    printed = []
    for _, *words in commands:
        code, output, errors = run(*words)
        assert code == 0, errors
        printed.append(output)
    shown = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
    for line in shown.splitlines():
        if not re.match(r"\.\.\.|test", line):  # another CPU rounds otherwise, and may end elsewhere
            assert line in printed[0]
    assert float(row(printed[0], "test R²")) > 0.97
    assert float(row(printed[2], "R²")) > 0.97
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [
        ".csv", ".csv", ".html", ".json", ".safetensors", ".toml",
    ]  # fmt: skip
