"""Which of Cosmic Ray's mutants are tried: a sample over all places, without those that can't matter."""

from __future__ import annotations

import ast
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_item import MutationSpec, WorkItem

_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv"}
_SETS_OF_BITS = {"BitOr", "BitAnd"}


class _Bare(ast.NodeTransformer):
    """Takes away what says only how one may write: annotations, `*` and `/` between arguments."""

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        self.generic_visit(node)
        defaults = [*node.defaults, *(default for default in node.kw_defaults if default)]
        everything = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        return ast.arguments([], everything, node.vararg, [], [], node.kwarg, defaults)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def meaning(code: str) -> str | None:
    """What a module does, as far as one can tell; None where it is no Python."""
    try:
        return ast.dump(_Bare().visit(ast.parse(code)))
    except SyntaxError:
        return None


def worth_trying(operator: str) -> bool:
    """Whether a test may overlook what an operator makes: `/` for `*`, but not `<<`, of which floats die."""
    found = re.search(r"ReplaceBinaryOperator_(\w+)_(\w+)", operator)
    if found is None:
        return True
    before, after = found.groups()
    return after in (_SETS_OF_BITS if before in _SETS_OF_BITS else _ARITHMETIC)


def mutated(source: str, mutation: MutationSpec) -> str | None:
    """A module's text with one mutation; None where it has no such place."""
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    code: str | None = mutate_code(source, operator, mutation.occurrence)
    return code


def drawn(source: str, items: Iterable[WorkItem], count: int, seed: str) -> list[WorkItem]:
    """A sample of mutants: one at each place, then a second one at each, and so on.

    Args:
        source: The module.
        items: All that Cosmic Ray knows to make of it, of one mutation each.
        count: How many at most.
        seed: Of the draw.
    """
    seen = {meaning(source)}
    found = []
    for item in _in_turn(items, random.Random(seed)):
        code = mutated(source, item.mutations[0])
        said = None if code is None else meaning(code)
        if said is None or said in seen:
            continue
        seen.add(said)
        found.append(item)
        if len(found) == count:
            break
    return found


def _in_turn(items: Iterable[WorkItem], draw: random.Random) -> Iterator[WorkItem]:
    at: dict[tuple[tuple[int, int], tuple[int, int]], list[WorkItem]] = defaultdict(list)
    for item in items:
        mutation = item.mutations[0]
        if worth_trying(mutation.operator_name):
            at[mutation.start_pos, mutation.end_pos].append(item)
    places = [at[place] for place in sorted(at)]
    for here in places:
        here.sort(key=lambda item: (item.mutations[0].operator_name, item.mutations[0].occurrence))
        draw.shuffle(here)
    draw.shuffle(places)
    for turn in range(max(map(len, places), default=0)):
        yield from (here[turn] for here in places if turn < len(here))
