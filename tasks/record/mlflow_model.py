"""The package as a model that MLflow itself loads and serves: from code, without a pickle.

The run keeps one copy of the package, inside the folder of this model. A second one would double
what is sent and kept, and what MLflow serves would be other bytes than those that are fetched.
"""

import base64
import io
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from neuro.models.package import Package
from neuro.models.package_manifest import CARD
from neuro.synthetic import phantom
from tasks.record import tracking

if TYPE_CHECKING:  # MLflow takes seconds to import: only when needed
    import pandas as pd
    from mlflow.models import ModelSignature

MODEL = "model"  # of a run's artifacts
_PACKAGE = f"{MODEL}/package"
_ALONE = "package"  # where earlier versions of the program logged it, and no model
_CODE = Path(__file__).with_name("served_model.py")
_EXAMPLE = 20261129, 128  # seed and side of the drawn image
# neuro itself is not among them: a program of that name in a public index need not be this one.
_REQUIRED = (
    "mlflow",
    "numpy",
    "onnxruntime",
    "pandas",
    "pillow",
    "pydicom",
    "safetensors",
    "simplejpeg",
    "torch",
)


def log(run: tracking.Run, found: Package) -> None:
    """The package, and beside it what MLflow needs to serve it."""
    if not run.run_id:
        return
    tracking.log_files(run, found.folder, _PACKAGE)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, MODEL)
        write(folder, found, run.run_id)
        tracking.log_files(run, folder, MODEL)


def write(folder: Path, found: Package, run_id: str = "") -> None:
    """A folder that MLflow serves once the package lies in it, as ``package``."""
    from mlflow import pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as no_project:
        model = Model(artifact_path=MODEL, run_id=run_id or None)
        pyfunc.save_model(
            folder,
            python_model=str(_CODE),
            mlflow_model=model,
            signature=_signature(),
            input_example=_example(),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIRED],
            uv_project_path=Path(no_project),  # else it copies a project that lies in this folder
        )
    # save_model would copy the package, and writes down where files lie on this machine.
    flavor = model.flavors[pyfunc.FLAVOR_NAME]
    flavor["artifacts"] = {"package": {"path": "package", "uri": "package"}}
    flavor["model_code_path"] = _CODE.name
    whole = [path for place in (folder, found.folder) for path in place.iterdir()]
    model.model_size_bytes = sum(path.stat().st_size for path in whole)
    model.save(folder / "MLmodel")


def source(run_id: str) -> str:
    """What a version of a run's package is registered by: the model, or the package alone."""
    return f"runs:/{run_id}/{MODEL if _is_model(run_id) else _ALONE}"


def package_uri(run_id: str) -> str:
    """Where a run keeps its package."""
    return f"runs:/{run_id}/{package_place(run_id)}"


def package_place(run_id: str) -> str:
    """In which folder of its artifacts a run keeps its package."""
    return _PACKAGE if _is_model(run_id) else _ALONE


def _is_model(run_id: str) -> bool:
    kept = tracking.client().list_artifacts(run_id, _PACKAGE)
    return f"{_PACKAGE}/{CARD}" in {artifact.path for artifact in kept}


def _example() -> "pd.DataFrame":
    """One image, drawn and marked so: of no patient, and of no lake."""
    import pandas as pd

    seed, side = _EXAMPLE
    buffer = io.BytesIO()
    Image.fromarray(phantom.draw(0, np.random.default_rng(seed), side)).save(buffer, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Map, Schema

    text, number = DataType.string, DataType.double
    return ModelSignature(
        # Base64, and not MLflow's binary: that is decoded in two of four forms of JSON alone.
        inputs=Schema([ColSpec(text, "image")]),
        outputs=Schema(
            [
                ColSpec(text, "sample_id"),
                ColSpec(text, "model_version"),
                ColSpec(text, "preprocess_hash"),
                ColSpec(Map(number), "probabilities"),
                ColSpec(text, "predicted"),
                ColSpec(Array(text), "conformal_set"),
                ColSpec(number, "ood_score", required=False),
                ColSpec(text, "decision"),
                ColSpec(text, "reason"),
            ]
        ),
    )
