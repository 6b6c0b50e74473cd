"""A tree of lineage as people read it at the prompt, and as plain values for programs."""

from itertools import groupby
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from ops_platform.catalog.lineage import DELIVERY, VALUE, Branch

DELIVERIES_SHOWN = 3


def drawn(tree: Branch, title: str) -> Tree:
    """The tree to print; of many deliveries the newest few are named and the others counted."""
    root = Tree(f"[bold]{escape(tree.node.id)}[/] {_about(tree)}[dim]{title}[/]")
    _grow(root, tree.branches)
    return root


def _grow(place: Tree, branches: tuple[Branch, ...]) -> None:
    for is_delivery, group in groupby(branches, lambda one: one.node.kind == DELIVERY):
        found = list(group)
        if is_delivery:
            found.sort(key=lambda one: one.node.about, reverse=True)
        shown = found[:DELIVERIES_SHOWN] if is_delivery else found
        for one in shown:
            word = "" if one.kind == VALUE else f"[dim]{one.kind}:[/] "
            again = " [dim](see above)[/]" if one.again else ""
            _grow(place.add(f"{word}{escape(one.node.id)} {_about(one)}{again}"), one.branches)
        if len(found) > len(shown):
            place.add(f"[dim]and {len(found) - len(shown):,} more deliveries[/]")


def _about(branch: Branch) -> str:
    return f"[dim]{escape(branch.node.about)}[/] " if branch.node.about else ""


def as_data(tree: Branch) -> dict[str, Any]:
    """The tree as values that JSON can hold, every delivery in it."""
    return {
        "name": tree.node.id,
        "kind": tree.node.kind,
        "about": tree.node.about,
        "by": tree.kind,
        "again": tree.again,
        "branches": [as_data(one) for one in tree.branches],
    }
