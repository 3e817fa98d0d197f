"""Gates of what a challenger is, before how good it is: its signature, its data, its test."""

from dataclasses import dataclass, replace

from neuro.promotion.gate import Gate
from neuro.promotion.gates import Decision


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """What is known of a package that would serve.

    signed_by: id of the believed key, "" where none is needed or known. is_registered: a registry
    hands it over. release, content_hash: that it says it was trained on; known_hash: what the lake
    says of that release, "" where it has none of that name. n_seen: test samples that it, or its
    start, was trained on. left_out: what of the test is not asked for that reason, in words.
    """

    signed_by: str
    is_registered: bool
    release: str
    content_hash: str
    known_hash: str
    n_seen: int
    left_out: str


def gates(lineage: Lineage) -> list[Gate]:
    """Each is kept or not; there is no interval."""
    made = []
    if lineage.is_registered:
        made.append(
            _gate(
                "is_signed",
                bool(lineage.signed_by),
                f"signed by {lineage.signed_by}" if lineage.signed_by else "nobody has signed it",
            )
        )
    if lineage.known_hash:
        told = (
            f"it was trained on release {lineage.release} as the lake has it"
            if lineage.known_hash == lineage.content_hash
            else f"it names release {lineage.release}, whose content in this lake is another"
        )
        made.append(_gate("data_is_pinned", lineage.known_hash == lineage.content_hash, told))
    made.append(
        _gate(
            "test_was_not_trained_on",
            lineage.n_seen == 0,
            f"{lineage.n_seen} of the test samples, or members of their groups, are among what it "
            f"was trained on{_after(lineage.left_out)}",
        )
    )
    return made


def joined(decision: Decision, found: list[Gate]) -> Decision:
    """A decision with these gates before its own; one that failed keeps what serves."""
    failed = [gate.name for gate in found if not gate.passed]
    together = (*found, *decision.gates)
    if not failed:
        return replace(decision, gates=together)
    reason = f"failed: {', '.join(failed)}"
    return replace(decision, decision="keep", gates=together, reason=reason)


def _gate(name: str, is_so: bool, explanation: str) -> Gate:
    value = float(is_so)
    return Gate(
        name=name,
        value=value,
        low=value,
        high=value,
        threshold=1.0,
        passed=is_so,
        outcome="passed" if is_so else "failed",
        explanation=explanation,
    )


def _after(left_out: str) -> str:
    return f"; left out for that: {left_out}" if left_out else ""
