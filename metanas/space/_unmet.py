"""Constraints that no row of a space meets."""

from __future__ import annotations

from metanas.errors import ConstraintError
from metanas.space._count import count_rows
from metanas.space._space import SearchSpace


def check_some_row(space: SearchSpace) -> None:
    """That some row meets the constraints on decisions, where the rows can be counted.

    Raises
    ------
    ConstraintError
        If none does; it names constraints of which none can be left out, or some row would meet the others.

    """
    if space.size != 0:
        return
    rules = [constraint for constraint in space.constraints if not constraint.measures]
    for rule in tuple(rules):
        others = [other for other in rules if other is not rule]
        if count_rows(space.decisions, others, space.limits) == 0:
            rules = others
    limits = [] if count_rows(space.decisions, rules) == 0 else space.limits
    texts = [*(repr(rule.text) for rule in rules), *(limit.text for limit in limits)]
    raise ConstraintError(
        f"some row must meet {' and '.join(texts)}",
        found="none" + (" that meets all of them" if len(texts) > 1 else ""),
        remedy="relax one of them" if len(texts) > 1 else "relax it",
        where=rules[-1].where if rules else f"space {space.name}",
    )
