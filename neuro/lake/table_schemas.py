"""The lake's tables: their schemas and keys."""

import pyarrow as pa

# Lance refuses a second row of one key only where the key carries this (docs/traps.md).
_KEY = {b"lance-schema:unenforced-primary-key": b"true"}
_TIME = pa.timestamp("us", tz="UTC")


def _key(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata=_KEY)


def _text(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string()) for name in names]


# What a user's branch has versions of its own of; everything else is shared with main.
BRANCHED = ("images", "labels", "samples", "quarantine")

SCHEMAS: dict[str, pa.Schema] = {
    "images": pa.schema(
        [
            _key("sha256", pa.string()),
            pa.field("stored", pa.large_binary()),
            *_text("stored_sha256", "media_type"),
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            *_text("mode"),
            pa.field("thumbnail", pa.binary(1024)),
            pa.field("ingested_at", _TIME),
            *_text("run_id"),
        ]
    ),
    "samples": pa.schema(
        [
            _key("dataset", pa.string()),
            _key("sha256", pa.string()),
            *_text("group_id", "group_key", "split", "given_split"),
            *_text("source_name", "source", "metadata", "run_id"),
            pa.field("is_synthetic", pa.bool_()),
        ]
    ),
    "labels": pa.schema(
        [
            _key("dataset", pa.string()),
            _key("sha256", pa.string()),
            _key("sequence", pa.int32()),
            *_text("label", "who"),
            pa.field("labelled_at", _TIME),
            pa.field("is_reviewed", pa.bool_()),
            *_text("run_id"),
        ]
    ),
    "predictions": pa.schema(
        [
            _key("dataset", pa.string()),
            _key("sha256", pa.string()),
            _key("model_version", pa.string()),  # counted from 1 for each problem
            _key("problem", pa.string()),
            *_text("preprocess_hash", "predicted", "decision", "reason"),
            pa.field("probabilities", pa.list_(pa.float64())),
            pa.field("conformal_set", pa.list_(pa.string())),
            pa.field("ood_score", pa.float64()),
            pa.field("predicted_at", _TIME),
            *_text("window"),
        ]
    ),
    "requests": pa.schema(  # what a service was asked, and what it said
        [
            _key("id", pa.string()),
            pa.field("at", _TIME),
            *_text("route", "who", "problem", "dataset", "sha256", "model_version", "package"),
            pa.field("is_shadow", pa.bool_()),
            *_text("preprocess_hash", "predicted", "decision", "reason"),
            pa.field("probabilities", pa.list_(pa.float64())),
            pa.field("conformal_set", pa.list_(pa.string())),
            pa.field("ood_score", pa.float64()),
            pa.field("descriptors", pa.list_(pa.float32())),
            pa.field("embedding", pa.list_(pa.float32())),
            pa.field("latency_s", pa.float64()),
            pa.field("image", pa.large_binary()),
        ]
    ),
    "work_items": pa.schema(  # images that wait for readers
        [
            _key("problem", pa.string()),
            _key("sha256", pa.string()),
            _key("round", pa.int32()),
            *_text("dataset", "source", "why"),
            pa.field("readers", pa.int32()),
            pa.field("rank", pa.float64()),
            pa.field("added_at", _TIME),
        ]
    ),
    "reads": pa.schema(  # what readers said of them
        [
            _key("problem", pa.string()),
            _key("sha256", pa.string()),
            _key("round", pa.int32()),
            _key("sequence", pa.int32()),
            *_text("who", "step", "label", "note", "shown"),
            pa.field("at", _TIME),
        ]
    ),
    "audits": pa.schema(  # what was drawn to measure a version by
        [
            _key("problem", pa.string()),
            _key("model_version", pa.string()),
            _key("window", pa.string()),
            _key("sequence", pa.int32()),
            *_text("sha256", "dataset", "stratum", "predicted"),
            pa.field("weight", pa.float64()),
            pa.field("is_flagged", pa.bool_()),
            pa.field("drawn_at", _TIME),
            pa.field("days", pa.float64()),
        ]
    ),
    "quarantine": pa.schema(
        [
            _key("dataset", pa.string()),
            _key("sha256", pa.string()),
            _key("reason", pa.string()),
            _key("label", pa.string()),
            *_text("message", "stage", "other", "source_name", "given_split", "group_key"),
            *_text("metadata", "source", "run_id"),
            pa.field("is_synthetic", pa.bool_()),
            pa.field("at", _TIME),
            pa.field("raw", pa.large_binary()),
        ]
    ),
    "releases": pa.schema(
        [
            _key("name", pa.string()),
            *_text("dataset", "tables", "content_hash", "passport", "parent", "creator"),
            *_text("superseded_by", "note", "branch", "left_out"),
            pa.field("n", pa.int64()),
            pa.field("is_synthetic", pa.bool_()),
            pa.field("created_at", _TIME),
        ]
    ),
    "journal": pa.schema(  # read only: lakes before version 3 wrote it
        [
            _key("key", pa.string()),
            *_text("kind", "body"),
            pa.field("at", _TIME),
        ]
    ),
    "journal_lines": pa.schema(
        [
            _key("number", pa.int64()),
            *_text("key", "kind", "body", "previous", "hash"),
            pa.field("at", _TIME),
        ]
    ),
}


def feature_schema(width: int) -> pa.Schema:
    """Schema of a feature set of ``width`` numbers an image."""
    return pa.schema(
        [
            _key("sha256", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), width)),
            _key("encoder_hash", pa.string()),
            *_text("preprocess_hash", "code_revision"),
        ]
    )


def key_of(schema: pa.Schema) -> list[str]:
    """Names of the key's columns."""
    return [entry.name for entry in schema if entry.metadata == _KEY]
