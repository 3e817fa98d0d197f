"""CLAIM 2024, item by item: what the system knows of a model, and what is for its authors to write.

Checklist for Artificial Intelligence in Medical Imaging, 2024 update (Tejani et al.,
doi:10.1148/ryai.240300): 44 items, by number and topic.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FOR_AUTHORS = "for the authors"
# Number of a section's first item, and its name.
SECTIONS = {
    1: "Title and abstract",
    3: "Introduction",
    5: "Study design",
    7: "Data",
    14: "Reference standard",
    19: "Data partitions",
    21: "Testing data",
    22: "Model",
    25: "Training",
    28: "Evaluation",
    35: "Results",
    40: "Discussion",
    42: "Other information",
}
TOPICS = (
    "Study of artificial intelligence, by category of technology",
    "Summary of design, methods, results and conclusions",
    "Background, intended use and role",
    "Aims, objectives and hypotheses",
    "Prospective or retrospective",
    "Goal of the study",
    "Sources of the data",
    "Inclusion and exclusion",
    "Preprocessing",
    "Selection of subsets",
    "De-identification",
    "Missing data",
    "Acquisition of the images",
    "How the reference standard was obtained",
    "Why this reference standard",
    "Who annotated",
    "Annotation of the test set",
    "Variability between and within annotators",
    "Assignment to partitions",
    "Level at which partitions are disjoint",
    "Intended sample size",
    "Model: inputs, outputs, layers",
    "Software",
    "Initial parameters",
    "Training",
    "Selection of the final model",
    "Ensembles",
    "Metrics of performance",
    "Significance and uncertainty",
    "Robustness or sensitivity",
    "Explainability",
    "Evaluation on internal data",
    "Testing on external data",
    "Registration of a trial",
    "Patients or examinations included and excluded",
    "Characteristics of each partition",
    "Performance with uncertainty",
    "Diagnostic performance and its precision",
    "Analysis of failures",
    "Limitations",
    "Implications for practice",
    "Protocol or technical details",
    "Availability of software, model and data",
    "Funding",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One item. answer: ``FOR_AUTHORS`` where the system does not know it."""

    number: int
    section: str
    topic: str
    answer: str


def filled(answers: Mapping[int, str]) -> list[Item]:
    """Every item with what is known, by number."""
    return [
        Item(
            number=number,
            section=SECTIONS[max(first for first in SECTIONS if first <= number)],
            topic=topic,
            answer=answers.get(number) or FOR_AUTHORS,
        )
        for number, topic in enumerate(TOPICS, start=1)
    ]
