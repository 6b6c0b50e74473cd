"""The catalog as one HTML page that needs nothing else: a pure function of the entries."""

import json
import re
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ops_platform.catalog.entries import FAILED, PASSED, Catalog, Check, Table
from ops_platform.catalog.lineage import (
    DELIVERY,
    RELEASE,
    SOURCE,
    TRAINING_SET,
    VALUE,
    VERSION,
    Graph,
    Node,
)

HERE = Path(__file__).parent
DELIVERIES_SHOWN = 200
MODELS = (TRAINING_SET, VERSION, RELEASE)


def page(catalog: Catalog) -> str:
    """The page; the same entries give the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["told"] = _told
    graph = catalog.graph
    return environment.get_template("page.html.j2").render(
        catalog=catalog,
        schemas=[(schema, list(tables)) for schema, tables in groupby(catalog.tables, _schema)],
        sources=[(node, _deliveries(graph, node)) for node in _of(graph, (SOURCE,))],
        models=_of(graph, MODELS),
        shown=DELIVERIES_SHOWN,
        results=_results,
        lineage=_lineage(graph),
    )


def _told(text: str) -> Markup:
    """What people wrote, as text, with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _schema(table: Table) -> str:
    return table.name.split(".")[0]


def _of(graph: Graph, kinds: tuple[str, ...]) -> list[Node]:
    return [node for kind in kinds for node in graph.nodes.values() if node.kind == kind]


def _deliveries(graph: Graph, source: Node) -> list[Node]:
    """The source's present deliveries, newest first."""
    found = [graph.nodes[edge.source] for edge in graph.above.get(source.id, [])]
    return [node for node in reversed(found) if node.kind == DELIVERY and node.current]


def _results(checks: tuple[Check, ...]) -> str:
    """How many checks passed, failed or wait, in words."""
    if not checks:
        return "no checks"
    failed = sum(check.result == FAILED for check in checks)
    passed = sum(check.result == PASSED for check in checks)
    told = [f"{passed} of {len(checks)} checks passed"]
    return ", ".join([*told, *([f"{failed} failed"] if failed else [])])


def _lineage(graph: Graph) -> str:
    """Nodes and edges for the page's script, without single deliveries, safe within its tag."""
    nodes = {
        node.id: [node.kind, node.about] for node in graph.nodes.values() if node.kind != DELIVERY
    }
    edges = [
        [edge.source, edge.target, int(edge.kind != VALUE)]
        for edge in graph.edges
        if edge.source in nodes and edge.target in nodes
    ]
    text = json.dumps({"nodes": nodes, "edges": edges}, separators=(",", ":"))
    return text.replace("<", "\\u003c")
