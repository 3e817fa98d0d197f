"""Incidents: what people reported, with the answer, an owner and an end."""

import streamlit as st

from deployments.reading_room import words
from deployments.reading_room.backend import Backend
from deployments.reading_room.parts import answer_panel, doing
from neuro.lake.incidents import Incident


def show(backend: Backend) -> None:
    """Draw the incidents, those without an end first of all."""
    st.title(words.INCIDENTS)
    found = backend.incidents()
    if st.toggle(words.INCIDENT_OPEN_ONLY, value=True):
        found = [each for each in found if each.is_open]
    if not found:
        st.info(words.INCIDENTS_NONE)
    for incident in found:
        title = f"{incident.at:%Y-%m-%d %H:%M} {incident.id.replace('_', '-')}"
        with st.expander(title, expanded=len(found) == 1):
            _one(backend, incident)


def _one(backend: Backend, incident: Incident) -> None:
    report = incident.report
    values = (
        report.who,
        report.reason,
        report.sample_id,
        words.version(report.version),
        words.answered(report.prediction),
        incident.owner or words.INCIDENT_NO_OWNER,
        incident.ended_by,
        incident.outcome,
    )
    rows = [pair for pair in zip(words.INCIDENT_FACTS, values, strict=True) if pair[1]]
    answer_panel.facts(rows)
    if not incident.is_open or not backend.person.may("reader"):
        return
    if incident.owner != backend.name:
        st.button(
            words.INCIDENT_TAKE,
            key=f"take-{incident.id}",
            on_click=doing.act,
            args=(Backend.take_incident, incident.id),
        )
    if incident.owner == backend.name or backend.person.may("approver"):
        with st.form(f"end-{incident.id}"):
            outcome = st.text_area(words.INCIDENT_OUTCOME, max_chars=2000)
            if st.form_submit_button(words.INCIDENT_END):
                if outcome.strip():
                    doing.act(Backend.end_incident, incident.id, outcome)
                    st.rerun()
                answer_panel.notice("bad", words.INCIDENT_NEEDS_OUTCOME)
