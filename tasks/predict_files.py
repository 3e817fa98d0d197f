"""The step that answers files that are in no lake: nothing is left of them but the answers."""

import os
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from neuro.errors import ConfigError
from neuro.images.sandbox import Rejected, VetConfig
from neuro.ingest import file_kinds, sources
from neuro.ingest.sources import SourceFile
from neuro.prediction import answer_parts, choose_runtime, out_file, vetted
from neuro.prediction.answer_parts import Parts
from neuro.problems.problem import Problem
from tasks import predict as release_steps
from tasks import predict_shards
from tasks.load import engines
from tasks.load.models import Model
from tasks.predict_shards import FrameShard
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRequest:
    """source: a folder, an archive, an image or s3://. out: where the answers go."""

    source: str
    out: Path
    engine: str


def is_files(source: str) -> bool:
    """Whether a source is files, and no release of the lake."""
    try:
        return "://" in source or os.sep in source or (source != "" and Path(source).exists())
    except OSError:  # too long for a name
        return False


def request(source: str, out: str | None, engine: str) -> FileRequest:
    """Check what was asked before a model is loaded. Raises ConfigError."""
    engines.require(engine)
    if not out:
        raise ConfigError(
            f"the answers to {source} need a place: neuro predict {source} --out FILE.parquet (or "
            ".csv)"
        )
    return FileRequest(source=source, out=out_file.named(out), engine=engine)


def require_alone(others: Mapping[str, str | None]) -> None:
    """Raise ConfigError for an option that means something of a release alone."""
    for name, value in others.items():
        if value:
            raise ConfigError(
                f"--{name} is for a release of the lake, and a source of files has none"
            )


@step(name="predict files")
def predict(model: Model, asked: FileRequest, problem: Problem) -> dict[str, Any]:
    """Vet and answer every image of a source, in the order of their names.

    Where the problem has a rule for cases, and its group rule a pattern for the names of files,
    cases are answered beside them.

    One that vetting refuses is answered with the reason. A run that was killed goes on from what
    lies beside the file. Raises ConfigError where there is no image.
    """
    here = settings.load()
    artifacts.label_run(name=f"predict files by {model.version[:12]}")
    whole = _mark(Path(asked.source)) if Path(asked.source).is_file() else ""  # of an archive
    with sources.opened(
        asked.source,
        here.home / "scratch",
        endpoint=here.s3_endpoint,
        deadline_s=here.s3_deadline_s,
    ) as listing:
        files, others = file_kinds.sort_files(listing.files)
        skipped = (*listing.skipped, *others)
        if not files:
            raise file_kinds.no_images(asked.source, skipped)
        marks = {file.name: file.version or whole or _mark(file.path) for file in files}
        if model.package.card.cases.rule and not answer_parts.is_begun(asked.out):
            out_file.require(release_steps.beside(asked.out))
        with answer_parts.opened(
            asked.out, model.package.card.classes, _about(model, asked)
        ) as out:
            done = out.done()
            left = [file for file in files if done.get(file.name) != marks[file.name]]
            told = _answer(model, asked.engine, left, marks, out)
            cases = _cases(model, problem, asked.out, pa.concat_tables(out.answers(marks)))
            decisions = out.become(asked.out, marks)
    artifacts.table(
        "predictions",
        [{"decision": name, "images": n} for name, n in decisions.items()],
        f"{len(left)} files answered by model {model.version[:12]}",
    )
    return {
        "n": len(left),
        "asked": len(files),
        "model_version": model.version,
        **told,
        "decisions": decisions,
        "predictions": str(asked.out),
        "cases": cases,
        **file_kinds.skipped_counts(skipped),
    }


def _cases(model: Model, problem: Problem, out: Path, images: pa.Table) -> dict[str, Any] | None:
    """Answers to cases, before those to images become a file: a kill in between repeats both."""
    if not model.package.card.cases.rule:
        return None
    cases = {name: problem.groups.id_of(name) for name in images["file"].to_pylist()}
    if not any(cases.values()):
        _log.warning(
            "no case is answered: [groups] pattern of problem %s finds none in the names of files",
            problem.name,
        )
        return None
    return release_steps.write_cases(model, images, cases, out, replaces=True)


def _answer(
    model: Model, engine: str, files: Sequence[SourceFile], marks: Mapping[str, str], out: Parts
) -> dict[str, Any]:
    """Answer files shard by shard, each kept as soon as it is; by what, and how fast.

    They are vetted here, where they lie; their frames are answered where the task runner puts them.
    """
    pace, ran_by = predict_shards.Pace(total=len(files), what="files"), set[str]()
    looked_at: deque[Sequence[str | Rejected]] = deque()  # of the shards that are under way
    with closing(_shards(model, engine, files, looked_at)) as shards:
        for shard in predict_shards.predict_shard.stream(shards):
            images = looked_at.popleft()
            names = [file.name for file in files[pace.done : pace.done + len(images)]]
            answers = vetted.merged(images, shard.predictions)
            out.add(names, [marks[name] for name in names], answers, model.version)
            ran_by.add(shard.runtime)
            pace.add(len(names))
    return {
        "engine": ", ".join(sorted(ran_by)),
        "images_per_s": round(pace.per_s, 1),
    }


def _shards(
    model: Model,
    engine: str,
    files: Sequence[SourceFile],
    looked_at: deque[Sequence[str | Rejected]],
) -> Generator[FrameShard]:
    """The frames of files that vetting let in. looked_at: gets what vetting said of each."""
    size, spec = settings.load().shard, model.package.card.preprocess
    paths, config = [file.path for file in files], VetConfig(workers=settings.cores())
    asking, is_settled = model, False
    for part in vetted.parts(paths, spec, config, size=size):
        # The first part that has enough is what the engines are tried with.
        has_enough = engine != engines.AUTO or len(part.pixels) >= choose_runtime.FRAMES
        if asking is model or (has_enough and not is_settled):
            asking = engines.opened(model, engine, part.pixels, np.arange(len(part.pixels)))
            is_settled = has_enough
        looked_at.append(part.images)
        yield predict_shards.cut(asking, part.sample_ids, part.pixels)


def _about(model: Model, asked: FileRequest) -> dict[str, str]:
    """What the answers of one file have in common."""
    return {
        "model": model.package.digest,
        "version": model.version,
        "engine": asked.engine,
        "source": _place(asked.source),
    }


def _place(source: str) -> str:
    """A source by a name that means the same in every folder."""
    return source if "://" in source else str(Path(source).absolute())


def _mark(path: Path) -> str:
    """What tells a file from a later one of its name; one that has gone is refused when read."""
    try:
        facts = path.stat()
    except OSError:
        return "gone"
    return f"{facts.st_size} {facts.st_ino} {facts.st_mtime_ns} {facts.st_ctime_ns}"
