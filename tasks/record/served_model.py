"""What MLflow runs to serve a package. A copy lies in each model: see ``mlflow_model``.

Input: a column ``image``, the base64 of an image file in each row, or in Python its bytes. Output:
for each image the fields of a Prediction; of a broken one the decision "refused", with the reason.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from neuro.models import package
from neuro.prediction import image_bytes, predict


class ServedModel(PythonModel):
    """A package, verified before anything in it is opened."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the package that lies beside this file."""
        found = package.open_verified(Path(context.artifacts["package"]))
        self._engine = predict.load(found)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """One answer for each row; there are no params."""
        answers = image_bytes.answer(self._engine, model_input["image"].tolist())
        return [image_bytes.as_dict(self._engine, each) for each in answers]


set_model(ServedModel())
