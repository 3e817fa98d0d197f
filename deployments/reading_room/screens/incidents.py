"""Incidents: what people reported, with the answer, an owner and an end."""

import json

import streamlit as st

from deployments.reading_room import words
from deployments.reading_room.backend import Backend
from deployments.reading_room.parts import answer_panel
from neuro.lake.incidents import Incident


def show(backend: Backend) -> None:
    """Draw it."""
    st.title(words.INCIDENTS)
    found = backend.incidents()
    if st.toggle(words.INCIDENT_OPEN_ONLY, value=True):
        found = [each for each in found if each.is_open]
    if not found:
        st.info(words.INCIDENTS_NONE)
    for incident in found:
        _one(backend, incident)


def _one(backend: Backend, incident: Incident) -> None:
    report = incident.report
    with st.expander(f"{incident.at:%Y-%m-%d %H:%M} {report.problem}: {report.reason[:80]}"):
        rows = [
            ("who", report.who),
            ("what", report.reason),
            ("image", report.sample_id),
            ("version", report.version),
            (words.INCIDENT_OWNER, incident.owner or words.INCIDENT_NO_OWNER),
        ]
        answer_panel.facts(rows)
        if report.prediction:
            st.code(json.dumps(dict(report.prediction), indent=1), language="json")
        if not incident.is_open:
            st.write(words.INCIDENT_ENDED.format(who=incident.ended_by, outcome=incident.outcome))
            return
        if not backend.person.may("reader"):
            return
        if incident.owner != backend.person.name:
            st.button(
                words.INCIDENT_TAKE,
                key=f"take-{incident.id}",
                on_click=backend.take_incident,
                args=(incident.id,),
            )
        if incident.owner == backend.person.name or backend.person.may("approver"):
            with st.form(f"end-{incident.id}"):
                outcome = st.text_area(words.INCIDENT_OUTCOME)
                if st.form_submit_button(words.INCIDENT_END) and outcome.strip():
                    backend.end_incident(incident.id, outcome)
                    st.rerun()
