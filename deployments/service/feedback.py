"""What people say of an answer: a label that waits for a review, or an incident in the journal."""

from datetime import datetime

from fastapi import HTTPException

from deployments.service.messages import Feedback, Kept
from deployments.service.served_models import Served
from deployments.service.service import Caller, Service
from neuro.lake import incidents, labels, requests
from neuro.lake.incidents import Report
from neuro.lake.labels import Annotation
from neuro.problems.problem import Problem


def keep(service: Service, served: Served, said: Feedback, caller: Caller, now: datetime) -> Kept:
    """Write it into the lake. Raises HTTPException for an unknown image or label."""
    dataset = served.model.package.card.dataset
    if not _is_known(service, dataset, said.sample_id):
        raise HTTPException(404, "no image of this digest was asked about here or is in a release")
    if said.incident:
        return _incident(service, served, said, caller, now)
    if served.file is None:
        raise HTTPException(404, "the problem's file is not known here: start with --problem")
    annotation = Annotation(label=_label(served.file, said), who=caller.person.name, at=now)
    is_new = labels.add_unreviewed(service.lake, dataset, said.sample_id, annotation)
    return Kept(kept="label", is_new=is_new, says="waits for a review; no release has it before")


def _incident(
    service: Service, served: Served, said: Feedback, caller: Caller, now: datetime
) -> Kept:
    """With what was answered last; of an image that nobody asked about, with what serves."""
    dataset, model = served.model.package.card.dataset, served.model
    answer = service.log.answered_by(dataset, said.sample_id)
    report = Report(
        problem=served.problem,
        sample_id=said.sample_id,
        who=caller.person.name,
        reason=said.incident,
        version=answer.version if answer else model.version,
        package=answer.package if answer else model.package.digest,
        prediction=answer.prediction if answer else {},
    )
    name, is_new = incidents.report(service.lake, report, now)
    says = f"stands in the journal as {incidents.INCIDENT}/{name}"
    return Kept(kept="incident", is_new=is_new, says=says)


def _is_known(service: Service, dataset: str, sample_id: str) -> bool:
    return (
        sample_id in service.log.asked(dataset, sample_id)
        or sample_id in requests.asked(service.lake, dataset, sample_id)
        or requests.is_sample(service.lake, dataset, sample_id)
    )


def _label(problem: Problem, said: Feedback) -> str:
    label = problem.source_label(said.label.strip())
    if not label:
        known = ", ".join(sorted(problem.labels))
        raise HTTPException(422, f"label {said.label!r} is unknown; known are {known}")
    return label
