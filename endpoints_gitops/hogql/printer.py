"""HogQL text for a tree: what the parser reads from it is the same query again.

Every tree that the parser makes can be printed, except for those with parts that the server refuses anyway (PIVOT, tags
of HogQLX) and for NOT in front of some odd operands: they are Unprintable. Nothing here recurses, so no tree is too
deep.
"""

from __future__ import annotations

from endpoints_gitops.hogql import print_queries
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.print_expressions import Unprintable, piece_of, printed
from endpoints_gitops.hogql.tree import fold

PRINTERS = (print_queries,)
"""Imported for what it registers: a printer for every kind of node around expressions."""


def print_hogql(tree: Tree) -> str:
    """The text of a query, or of any part of one. Raises Unprintable."""
    return printed(fold(tree, piece_of))


def readable(tree: Tree) -> str:
    """The same for people: what cannot be printed is named by its kind."""
    try:
        return print_hogql(tree)
    except Unprintable:
        return f"<{tree.get('node', '?')}>"
