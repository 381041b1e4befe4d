"""Only the edges know how requests name their fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path("src/tollhouse")
#: Packages that speak to somebody in the names of a protocol: the edges, and what reads and writes for them.
EDGES = {"api", "checkout", "cli", "client", "composition", "http", "portal", "simulator", "stage", "wire", "worker"}
#: Elements of EMV messages, which the party at the other end names likewise.
PROTOCOLS = {"threeds/elements.py", "threeds/messages.py", "payments/authentication/results.py"}
LOWER = [
    path
    for path in sorted(SOURCE.glob("*/**/*.py"))
    if path.relative_to(SOURCE).parts[0] not in EDGES and str(path.relative_to(SOURCE)) not in PROTOCOLS
]
#: The name or path of a field as requests have it: `siteId`, `price.0.currency`.
FIELD = re.compile(r"\b[a-z]+[A-Z][A-Za-z]*\b|\b[a-z]+\.(?:[0-9]+\.)?[a-z]+\b")
#: Calls whose texts reach a caller.
TELLING = {"Fault", "reject"}


def list_errors(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that make an error or a fault: those that are raised, and those of `TELLING`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield node.exc
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TELLING:
            yield node


def list_texts(call: ast.Call) -> Iterator[str]:
    """Yield the texts in a call."""
    for node in ast.walk(call):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def find_wire_names(source: str) -> list[str]:
    """Return the errors of a module that name a field, or have faults by their paths."""
    found = []
    for call in list_errors(ast.parse(source)):
        has_paths = getattr(call.func, "id", "") == "Invalid" and not (
            isinstance(call.args[0], ast.Dict) and not call.args[0].keys
        )
        if has_paths or any(FIELD.search(text) for text in list_texts(call)):
            found.append(ast.unparse(call))
    return found


def test_errors_below_the_edges_name_no_field() -> None:
    """A package below the edges rejects by subject and text: it raises no error that names a field of a request."""
    found = {str(path): find_wire_names(path.read_text()) for path in LOWER}
    assert not {path: errors for path, errors in found.items() if errors}


@pytest.mark.parametrize(
    "source",
    [
        'raise Invalid({"url": ["is required"]})',
        "raise Invalid(faults)",
        'raise TaxError("afterTaxes", "must be the amount")',
        'reject(Subject.PRICES, "is required with sku.siteId")',
    ],
)
def test_wire_names_are_found(source: str) -> None:
    """The search finds a path, faults by paths, a field's own name, and a field in a text."""
    assert find_wire_names(source)
