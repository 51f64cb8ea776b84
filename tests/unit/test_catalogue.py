"""The catalogue of errors can fail the build: no reason and no code without advice, and a page that says what the code says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from connectors.ews import classify as ews
from connectors.graph import classify as graph
from connectors.graph.tokens import SIGN_IN
from migrator.errors import catalogue
from migrator.errors.advice import CODES, REASONS, Advice, advice

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text("utf-8")
WORD = re.compile(r"[a-z]+(-[a-z]+)*")
NO_ERRORS = {"replace", "_end", "_aside", "Ending"}
"""Calls whose ``code`` is another thing: a mark of a row, an exit code."""


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in ("migrator", "connectors"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            # The lab is a server, and wrappers and memory are doubles that make things up.
            if "lab" not in file.parts and not file.name.startswith(("memory", "wrappers")):
                yield file, ast.parse(file.read_text("utf-8"))


def constants() -> dict[str, str]:
    found = {}
    for _, module in sources():
        for node in module.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                found.update({target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)})
    return found


def words_in(node: ast.expr, known: dict[str, str]) -> set[str]:
    """The words that an expression can become: constants, named ones too, and both ends of a choice."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.Name(id=name):
            return {known[name]} if name in known else set()
        case ast.IfExp(body=body, orelse=orelse):
            return words_in(body, known) | words_in(orelse, known)
        case ast.BoolOp(values=values):
            return set().union(*(words_in(one, known) for one in values))
    return set()


def used(kind: str) -> dict[str, str]:
    """Every reason or code that stands in the code, and where."""
    known = constants()
    found: dict[str, str] = {}
    for file, module in sources():
        for node in ast.walk(module):
            exprs: list[ast.expr] = []
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                if kind == "reason":
                    exprs += [word.value for word in node.keywords if word.arg == "reason"]
                    exprs += node.args[:1] if name == "Refusal" else []
                else:
                    exprs += [word.value for word in node.keywords if word.arg == "code" and name not in NO_ERRORS]
                    exprs += node.args[2:3] if name == "Refusal" else []
            elif kind == "reason" and isinstance(node, ast.Assign) and [ast.unparse(one) for one in node.targets] == ["reason"]:
                exprs.append(node.value)
            for expr in exprs:
                for word in words_in(expr, known):
                    if kind == "code" or WORD.fullmatch(word):
                        found[word] = f"{file.relative_to(ROOT)}:{node.lineno}"
    return found


def test_the_search_finds_what_is_there() -> None:
    # A search that finds nothing would let every other test here pass.
    assert {"no-lane", "old-copy-stays", "could-send-cancellation", "source-cannot-deliver", "too-many-attachments"} <= set(
        used("reason")
    )
    assert {"foreign-claim", "time-out", "http 401"} <= set(used("code"))


def test_every_reason_in_the_code_has_its_entry() -> None:
    assert {word: place for word, place in used("reason").items() if word and word not in REASONS} == {}


def test_every_code_of_our_own_has_its_entry() -> None:
    missing = {
        word: place
        for word, place in used("code").items()
        if word and catalogue.about(word) is None and not re.fullmatch(r"http \d+", word)
    }
    assert missing == {}


def test_every_code_of_exchange_has_meaning_and_advice() -> None:
    for code, verdict in ews.CODES.items():
        row = catalogue.about(code)
        assert row is not None, code
        assert all((row.meaning, row.engine, row.operator)), code
        assert f"| `{code}` |" in PAGE, code
        assert verdict.reason in REASONS or verdict.meaning is ews.Meaning.BUG, code


def test_every_code_of_graph_has_meaning_and_advice() -> None:
    for code, verdict in graph.CODES.items():
        row = catalogue.graph_code(code)
        assert all((row.meaning, row.engine, row.operator)), code
        assert f"| `{code}` |" in PAGE, code
        assert verdict.reason in REASONS, code


def test_every_status_and_sign_in_number_is_on_the_page() -> None:
    for status in graph.STATUSES:
        assert f"| `http {status}` |" in PAGE
    for number in SIGN_IN:
        assert f"| `AADSTS{number}` |" in PAGE


def test_every_meaning_says_what_the_engine_does() -> None:
    assert set(catalogue.EXCHANGE_DOES) == set(ews.Meaning)
    assert set(catalogue.GRAPH_DOES) == set(graph.Meaning)


def test_an_entry_is_whole() -> None:
    for word, told in (REASONS | CODES).items():
        for text in (told.meaning, told.engine, told.operator):
            assert text.endswith((".", ")")), f"{word}: {text}"
            assert "|" not in text, f"{word}: {text}"


def test_a_reason_that_nobody_knows_says_so() -> None:
    assert "no entry" in advice("something-new").meaning
    assert isinstance(advice("too-large"), Advice)


def test_every_exit_code_is_on_the_page() -> None:
    for code in (0, 2, 3, 4, 5, 64, 65, 70):
        assert f"| {code} |" in PAGE


def test_the_page_says_what_the_code_says() -> None:
    assert catalogue.page() == PAGE, "write it anew: python -m migrator.errors.catalogue --write docs/errors.md"


def test_the_page_is_written_by_its_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "migrator.errors.catalogue", "--write", str(tmp_path / "errors.md")], cwd=ROOT, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "errors.md").read_text("utf-8") == PAGE
