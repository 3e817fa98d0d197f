"""A challenger may not be no worse over all by being worse for some."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import intervals, metrics, subgroups
from neuro.evaluation.evaluate import Evaluation
from neuro.promotion import gate
from neuro.promotion.gate import Gate

NAME = "subgroups_no_worse"


def compare(
    challenger: Evaluation,
    champion: Evaluation,
    columns: Mapping[str, NDArray[np.str_]],
    margin: float,
) -> Gate | None:
    """A gate of the subgroup that lost most; None where no subgroup is large enough.

    columns: as of ``subgroups.compare``, of the same samples. The chance that one of the subgroups
    is refused by accident is that of a single interval (Bonferroni).
    """
    parts = [part for part in subgroups.parts(challenger.groups, columns) if part.is_large]
    if not parts:
        return None
    tail = intervals.TAIL / len(parts)
    differences = []
    for part in parts:
        ours, theirs = challenger.called[part.rows], champion.called[part.rows]
        given = challenger.targets[part.rows], challenger.groups[part.rows]
        paired = metrics.paired_difference("accuracy", (ours, theirs), *given, challenger.classes)
        differences.append(paired.metric(tail))
    worst = int(np.argmin([difference.high for difference in differences]))
    part, difference = parts[worst], differences[worst]
    return gate.not_refuted(
        difference,
        -margin,
        name=NAME,
        explanation=f"{part.column} {part.value!r}, the worst of {len(parts)} subgroups: accuracy "
        f"challenger minus champion on the same {difference.n} samples, {difference.groups} groups;"
        f" its {100 * (1 - 2 * tail):.4g} % interval must not lie wholly below {-margin:g}",
    )
