"""What a refused manifest shows in Prefect: counts, and nothing of a patient."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter
from prefect.testing.utilities import prefect_test_harness

from flows.ingest import ingest
from neuro.errors import ManifestError

NAME, ID = "Erika Mustermann", "patient-4711"


@pytest.mark.slow
def test_a_refused_manifest_shows_counts_and_no_patient(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"{NAME}.jpg").write_bytes(b"x")
    table = "image_id,dx,age,sex,localization,dx_type,lesion_id\n"
    (folder / "HAM10000_metadata.csv").write_text(f"{table}{NAME},mel,{ID},female,,,{ID}\n")
    with prefect_test_harness():
        with pytest.raises(ManifestError) as caught:
            ingest(problem="skin", source=str(folder))
        with get_client(sync_client=True) as client:
            artifacts = client.read_artifacts(artifact_filter=ArtifactFilter())
            logs = client.read_logs()
            runs = [client.read_flow_runs(), client.read_task_runs()]
    shown = [a.data for a in artifacts if a.key == "manifest-skin"]
    assert shown == ['[{"check": "age: not a number", "rows": 1}]']
    told = repr((artifacts, logs, runs, caught.value, caught.value.__context__)) + caplog.text
    assert not [secret for secret in (NAME, ID) if secret in told]
    assert not (home / "lake").exists()
