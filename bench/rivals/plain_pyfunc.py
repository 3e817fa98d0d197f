"""A model as people write one for MLflow: Pillow, a softmax, ONNX Runtime with all cores."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from PIL import Image


class PlainModel(PythonModel):
    """No vetting, no calibration, no scope."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the graph."""
        folder = Path(context.artifacts["package"])
        self._session = onnxruntime.InferenceSession(folder / "model.onnx")
        self._card = json.loads((folder / "model.json").read_text(encoding="utf-8"))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, float]]:
        """Shares by class, a row each."""
        spec = self._card["preprocess"]
        side = (spec["size_px"], spec["size_px"])
        frames = []
        for text in model_input["image"]:
            with Image.open(io.BytesIO(base64.b64decode(text))) as opened:
                pixels = np.asarray(opened.convert(spec["mode"]).resize(side), np.float32) / 255
            frames.append(pixels.reshape(*side, -1).transpose(2, 0, 1))
        name = self._session.get_inputs()[0].name
        logits = self._session.run(None, {name: np.stack(frames)})[0]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return [dict(zip(self._card["classes"], row.tolist(), strict=True)) for row in shares]


set_model(PlainModel())
