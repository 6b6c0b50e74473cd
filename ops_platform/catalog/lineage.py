"""The lineage graph as plain data: what is made from what, by column, and how it is walked."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from ops_platform.errors import OpsError

DELIVERY, SOURCE, INPUT = "delivery", "source", "delivered column"
TABLE, COLUMN = "table", "column"
TRAINING_SET, VERSION, RELEASE = "training set", "model version", "release"
VALUE, ROWS, UNTOLD = "value", "rows", "lineage unknown"


@dataclass(frozen=True)
class Node:
    """One thing of the graph.

    Parameters
    ----------
    id : what it is called: `marts.fct_order_lines.unit_price`, `models/recommender@1` and so on.
    kind : DELIVERY, SOURCE, INPUT, TABLE, COLUMN, TRAINING_SET, VERSION or RELEASE.
    about : what else there is to say of it, in a few words.
    current : False for a delivery whose rows the lake holds no longer; a version may have seen it.
    """

    id: str
    kind: str
    about: str = ""
    current: bool = True


@dataclass(frozen=True)
class Edge:
    """`target` is made from `source`: its values are (VALUE), or what rows it has is (ROWS).

    UNTOLD joins two tables: any value of `target` may come from any column of `source`.
    """

    source: str
    target: str
    kind: str


@dataclass(frozen=True)
class Graph:
    """All nodes and edges.

    `fitted_on` names the deliveries whose rows were in the snapshot that a version, and so its
    releases, learned from.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    fitted_on: Mapping[str, frozenset[str]]

    @cached_property
    def above(self) -> dict[str, list[Edge]]:
        """The edges that end in a node."""
        return _by(self.edges, lambda edge: edge.target)

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """By table, `schema.table`, its columns by their whole names."""
        found = defaultdict(list)
        for node in self.nodes.values():
            if node.kind == COLUMN:
                found[".".join(node.id.split(".")[:2])].append(node.id)
        return dict(found)

    @cached_property
    def below(self) -> dict[str, list[Edge]]:
        """The edges that begin in a node."""
        return _by(self.edges, lambda edge: edge.source)


@dataclass(frozen=True)
class Branch:
    """A node in a tree, with the edge's kind that led to it.

    Where a node comes again its branches are not repeated, and `again` says so.
    """

    node: Node
    kind: str
    branches: tuple["Branch", ...]
    again: bool


def _by(edges: Iterable[Edge], key: Callable[[Edge], str]) -> dict[str, list[Edge]]:
    found = defaultdict(list)
    for edge in edges:
        found[key(edge)].append(edge)
    return dict(found)


def find(graph: Graph, name: str) -> Node:
    """The node of this name; raises OpsError that names those most like it where there is none."""
    if name in graph.nodes:
        return graph.nodes[name]
    wanted = name.lower()
    within = sorted((one for one in graph.nodes if wanted in one.lower()), key=len)
    close = get_close_matches(name, list(graph.nodes), n=5, cutoff=0.5)
    like = list(dict.fromkeys([*within[:5], *close]))[:5]
    hint = f"did you mean {', '.join(like)}?" if like else "`ops lineage raw.orders` is an example"
    raise OpsError(f"there is no table, column, delivery, version or release {name!r}: {hint}")


def walk(graph: Graph, start: Node, *, up: bool) -> Branch:
    """The tree of all that `start` is made from (`up`), or of all that is made from it."""
    allowed = _allowed(graph, start)
    seen: set[str] = set()

    def branch(node: Node, kind: str) -> Branch:
        edges = (graph.above if up else graph.below).get(node.id, [])
        again = node.id in seen and bool(edges)
        seen.add(node.id)
        if again:
            return Branch(node, kind, (), again=True)
        following = [(graph.nodes[e.source if up else e.target], e.kind) for e in edges]
        return Branch(
            node,
            kind,
            tuple(branch(*one) for one in following if allowed(one[0])),
            again=False,
        )

    return branch(start, VALUE)


def _allowed(graph: Graph, start: Node) -> Callable[[Node], bool]:
    """Which nodes belong to a tree: a version is made from the deliveries of its own snapshot."""
    fitted_on = graph.fitted_on
    if start.id in fitted_on:
        return lambda node: node.kind != DELIVERY or node.id in fitted_on[start.id]
    if start.kind == DELIVERY:
        return lambda node: node.id not in fitted_on or start.id in fitted_on[node.id]
    return lambda node: node.current
