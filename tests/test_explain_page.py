"""The commands of docs/explain.md, which README.md shows, too: they print what the pages say they print."""

import re
import shlex

import pytest
from runs import CHECKOUT

PAGES = [CHECKOUT / "README.md", CHECKOUT / "docs" / "explain.md"]
NUMBER = re.compile(r"(?<![\w.])−?\d+(?:\.\d+)?(?:×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?(?![\w.])")
DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
TRAINED = 0.02  # another CPU adds in another order, and five epochs of float32 make more of it


def shown(page):
    """The commands, and the text that follows them."""
    form = r"^<!-- runs -->\n```sh\n(bpjit train digits.*?)^```$.*?^```text\n(.*?)^```$"
    commands, text = re.search(form, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL).groups()
    return commands.splitlines(), text.splitlines()


def alike(line, printed):
    """Whether two lines are equal but for what training makes of numbers."""
    if NUMBER.sub("#", line).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(*(map(value, NUMBER.findall(each)) for each in (line, printed)), strict=True)
    return all(number == pytest.approx(other, rel=TRAINED, abs=1e-4) for number, other in pairs)


def value(written):
    mantissa, _, exponent = written.translate(DIGITS).partition("×10")
    return float(f"{mantissa}e{exponent or 0}")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_commands_print_what_the_pages_show(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (commands, _), (same, _) = map(shown, PAGES)
    assert commands == same and [command.split()[1] for command in commands] == ["train", "explain"]
    for command in commands:
        code, printed, errors = run(*shlex.split(command)[1:])
        assert code == 0, errors
    (third,) = re.findall(r"^<!-- runs -->\n```sh\n(bpjit explain .*)\n```$", PAGES[1].read_text("utf-8"), re.MULTILINE)
    code, table, errors = run(*shlex.split(third)[1:])
    assert code == 0, errors
    assert "\n20 steps of SGD(learning_rate=0.1)\n" in table
    assert (tmp_path / "three.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    for page in PAGES:
        rest = iter(printed.splitlines())
        _, lines = shown(page)
        assert len(lines) > 10
        for line in lines:
            if line not in ("...", ""):
                assert any(alike(line, other) for other in rest), f"{page.name} shows {line!r}, which is not there"


def test_lines_are_told_apart():
    assert alike("    = relu′(1.077) × (−0.621) + 5.54×10⁻⁵", "    = relu′(1.078) × (−0.622) + 5.55×10⁻⁵")
    assert not alike("    = 1.077", "    = 1.277")
    assert not alike("    = 1.077", "    = −1.077")
    assert not alike("    δ₅² = w₃,₅³", "    δ₅² = w₃,₆³")


def test_the_pages_lead_to_each_other():
    for page in ("README.md", "docs/explain.md"):
        text = (CHECKOUT / page).read_text(encoding="utf-8")
        for target in ("derivation.md", "derivation.zh.md", "explain.py", "derivation.ipynb"):
            (link,) = set(re.findall(rf"\]\(([^)]*/)?{re.escape(target)}[)#]", text)) or {None}
            assert link is not None and ((CHECKOUT / page).parent / link / target).is_file(), (page, target)
