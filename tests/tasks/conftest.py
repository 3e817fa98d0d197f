"""A lake of small images, as the library's tests have it."""

from tests.neuro.conftest import (  # noqa: F401 - fixtures
    brain,
    deliver,
    ingest,
    lake,
    now,
    png,
    stage,
)
