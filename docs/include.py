"""Keeps what README.md and docs/*.md show of code, figures and sessions equal to where it comes from.

    python docs/include.py            rewrite every included block
    python docs/include.py --check    exit with 1 when a block differs from its source

A block is a comment and the fence after it:

    <!-- code: bpjit/derivation.py forward -->           a function (or Class.method), without its docstring
    <!-- code: bpjit/derivation.py gradient E4 E8 -->    of it, only the loops around the statements marked so
    <!-- code: bpjit/engine/gradient.py finish apply --> or around those that use a name

    <!-- session -->                                     >>> and what Python answers; a page's sessions are one

or what stands between a comment and <!-- end -->, from a file that `bpjit bench --json` wrote:

    <!-- table: docs/speed.json -->                      all that was measured
    <!-- summary: docs/speed.json -->                    how many times as fast as other libraries bpjit is
"""

import argparse
import ast
import io
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MARKER = re.compile(
    r"^<!-- code: (?P<path>\S+) (?P<name>[\w.]+)(?P<marks>(?: \w+)*) -->\n+```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FIGURES = re.compile(
    r"^<!-- (?P<form>table|summary): (?P<path>\S+) -->\n(?P<figures>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL
)
SESSION = re.compile(r"^<!-- session -->\n```python\n(?P<session>.*?)^```$", re.MULTILINE | re.DOTALL)
STATEMENT = re.compile(r"^(?P<source>>>> .*\n(?:\.\.\.(?: .*)?\n)*)(?P<answer>(?!>>> ).+\n)*", re.MULTILINE)
OPENING = re.compile(r"^<!-- ((code|table|summary):|session).*", re.MULTILINE)


def pages(root: Path) -> list[Path]:
    return [*root.glob("README.md"), *sorted((root / "docs").glob("*.md"))]


def definition(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    """The function or method of that dotted name."""
    scope: ast.AST = tree
    for part in name.split("."):
        found = [node for node in ast.iter_child_nodes(scope) if getattr(node, "name", None) == part]
        if not found:
            return None
        scope = found[-1]
    return scope if isinstance(scope, ast.FunctionDef) else None


def lines_of(node: ast.stmt) -> set[int]:
    """The lines of a statement, with its decorators."""
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return set(range(first, (node.end_lineno or node.lineno) + 1))


def loops(body: list[ast.stmt], marked: set[int], depth: int = 0) -> set[int]:
    """The lines of the marked statements, of the loops around them, and in those what is set just before."""
    lines: set[int] = set()
    before: set[int] = set()
    for node in body:
        own = lines_of(node)
        if not own & marked:
            before = before | own if depth and isinstance(node, ast.Assign) else set()
            continue
        lines |= before
        before = set()
        if isinstance(node, ast.For):
            lines |= set(range(node.lineno, node.body[0].lineno)) | loops(node.body, marked, depth + 1)
        else:
            lines |= own
    return lines


def marks_in(line: str, marks: list[str]) -> set[str]:
    """Those of the marks, E4 or the name of something, that a line of code has."""
    code, _, comment = line.partition("  # ")
    numbers = set(re.findall(r"\bE\d+\b", comment))
    return {mark for mark in marks if mark in numbers or mark in re.findall(r"\w+", code)}


def excerpt(source: str, name: str, marks: list[str]) -> str:
    """What a marker asks for, moved to the left margin; LookupError when the source does not have it."""
    function = definition(ast.parse(source), name)
    if function is None:
        raise LookupError(f"no function {name}")
    text = source.splitlines()
    chosen = lines_of(function)
    if ast.get_docstring(function) is not None:
        chosen -= lines_of(function.body[0])
    if marks:
        cited = {number: marks_in(text[number - 1], marks) for number in chosen}
        missing = set(marks).difference(*cited.values())
        if missing:
            raise LookupError(f"no statement of {name} is marked or names {', '.join(sorted(missing))}")
        chosen = loops(function.body, {number for number in chosen if cited[number]})
    return textwrap.dedent("\n".join(text[number - 1] for number in sorted(chosen))) + "\n"


def answered(session: str, names: dict[str, Any]) -> str:
    """The session with what Python answers now; names: what the sessions before it have left, and it leaves."""

    def answer(statement: re.Match[str]) -> str:
        source = "".join(line[4:] or "\n" for line in statement["source"].splitlines(keepends=True))
        output = io.StringIO()
        with redirect_stdout(output):
            exec(compile(source, "<session>", "single"), names)
        return statement["source"] + output.getvalue()

    return STATEMENT.sub(answer, session)


def included(page: str, root: Path) -> str:
    """The page with every included block as the source has it now."""
    names: dict[str, Any] = {"__name__": "page"}

    def asked(block: re.Match[str]) -> str:
        return block[0].removesuffix(block["session"] + "```") + answered(block["session"], names) + "```"

    def renewed(block: re.Match[str]) -> str:
        source = (root / block["path"]).read_text(encoding="utf-8")
        code = excerpt(source, block["name"], block["marks"].split())
        return block[0].removesuffix(block["code"] + "```") + code + "```"

    def measured(block: re.Match[str]) -> str:
        from bpjit.bench import report  # a page without figures needs no bpjit

        write = {"table": report.markdown, "summary": report.summary}[block["form"]]
        figures = f"\n{write(report.Report.read(root / block['path']))}\n\n"
        return block[0].removesuffix(block["figures"] + "<!-- end -->") + figures + "<!-- end -->"

    malformed = len(OPENING.findall(page)) - sum(len(form.findall(page)) for form in (MARKER, FIGURES, SESSION))
    if malformed:
        raise LookupError(
            f"{malformed} marker(s) that are not `<!-- code: PATH NAME [E1 ...] -->` or `<!-- session -->` and a "
            "python fence, or `<!-- table: PATH -->` or `<!-- summary: PATH -->` and `<!-- end -->`"
        )
    return SESSION.sub(asked, FIGURES.sub(measured, MARKER.sub(renewed, page)))


def drifted(root: Path) -> Iterator[tuple[Path, str]]:
    """Each page that shows other code than its source, and the page as it should be."""
    for path in pages(root):
        page = path.read_text(encoding="utf-8")
        try:
            renewed = included(page, root)
        except Exception as error:
            raise SystemExit(f"{path.relative_to(root)}: {error}") from error
        if renewed != page:
            yield path, renewed


def main(arguments: list[str], root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description="Code, figures and sessions in the documents, as they are now.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a block has drifted")
    check = parser.parse_args(arguments).check
    pending = list(drifted(root))
    for path, renewed in pending:
        print(f"{path.relative_to(root)}: {'differs from the source' if check else 'renewed'}")
        if not check:
            path.write_text(renewed, encoding="utf-8")
    return 1 if check and pending else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
