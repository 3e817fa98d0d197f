"""What README and docs say of commands, targets, problems and files is so."""

import ast
import re
import shlex
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from deployments.cli.app import app
from neuro.features import descriptors
from neuro.images.preprocess import PreprocessSpec
from neuro.ingest.archives import Limits
from neuro.problems import problem
from neuro.problems.problem import Augmentation, CaseRule, GroupRule, Layout, Problem
from tasks.runtime import settings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
EVERY_PAGE = pytest.mark.parametrize(
    "page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES]
)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href|srcset)=\"([^\"]+)\"")
CODE_PATH = re.compile(r"`((?:neuro|monitoring|tasks|flows|deployments|tests|bench)/[\w./]+)`")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|tmp|home|root|Users|opt|mnt)/")


def fences(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text("utf-8")) if kind == language]


def calls(page: Path, program: str) -> list[list[str]]:
    """Arguments of every call of a program, in console blocks and in code within a line."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    lines = [line for text in fences(page, "console") for line in text.splitlines()]
    # A line break inside inline code is Markdown for a space.
    lines += INLINE.findall(re.sub(r"(?<=\S)\n(?=\S)", " ", prose))
    found = [shlex.split(line.strip(), comments=True) for line in lines if line.startswith(program)]
    return [words[1:] for words in found if words[:1] == [program] and words[1:]]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words call, and what is left of them."""
    command: Any = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no verb {words[0]!r} in neuro {' '.join(words)}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options_of(command: Any) -> set[str]:
    return {"--help", *(option for parameter in command.params for option in parameter.opts)}


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z][a-z0-9-]*):", text, re.MULTILINE))


def anchors_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@EVERY_PAGE
def test_every_neuro_command_exists_with_its_options(page: Path) -> None:
    for words in calls(page, "neuro"):
        if words[0] == "VERB":  # any of them
            continue
        command, rest = command_of(words)
        assert not isinstance(command, TyperGroup), f"neuro {' '.join(words)} names no verb"
        given = {word.split("=")[0] for word in rest if word.startswith("-")}
        assert given <= options_of(command), f"neuro {' '.join(words)}"


def test_the_readme_and_the_quick_start_show_commands() -> None:
    assert len(calls(ROOT / "README.md", "neuro")) >= 8
    assert len(calls(DOCS / "quickstart.md", "neuro")) >= 12


def test_every_verb_has_an_example_on_the_commands_page() -> None:
    shown = {command_of(words)[0].name for words in calls(DOCS / "commands.md", "neuro")}
    groups: list[Any] = [typer.main.get_command(app)]
    verbs: set[str | None] = set()
    while groups:
        inner = list(groups.pop().commands.values())
        groups += [command for command in inner if isinstance(command, TyperGroup)]
        verbs |= {command.name for command in inner if not isinstance(command, TyperGroup)}
    assert verbs - shown == set()


@EVERY_PAGE
def test_every_make_target_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for words in calls(page, "make"):
        targets = {word for word in words if "=" not in word}
        variables = {word.split("=")[0] for word in words if "=" in word}
        assert targets <= make_targets(), f"make {' '.join(words)}"
        assert all(f"$({name})" in makefile for name in variables), f"make {' '.join(words)}"


@EVERY_PAGE
def test_every_deployment_named_exists(page: Path) -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    known = {each["name"] for each in deployments}
    for words in calls(page, "prefect"):
        if words[:2] == ["deployment", "run"]:
            assert set(words[2].split("/")) <= known, f"prefect {' '.join(words)}"


@EVERY_PAGE
def test_every_relative_link_leads_to_a_file_and_heading(page: Path) -> None:
    for pair in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        link = pair[0] or pair[1]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{page.name} links to {link}"


@EVERY_PAGE
def test_every_file_of_the_code_that_a_page_names_is_there(page: Path) -> None:
    if page.name == "CHANGELOG.md" or page.parent.name == "adr":  # what was so then
        return
    for name in CODE_PATH.findall(page.read_text("utf-8")):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in DOCS.rglob("*.md"):
        assert f": {page.relative_to(DOCS).as_posix()}\n" in text, f"{page.name} is in no menu"


@EVERY_PAGE
def test_every_problem_file_shown_is_valid(page: Path) -> None:
    for text in fences(page, "toml"):
        if "classes" in tomllib.loads(text):
            assert problem.parse(text, where=page.name).classes


@pytest.mark.parametrize(
    "kind", [Problem, Layout, GroupRule, PreprocessSpec, Augmentation, CaseRule]
)
def test_every_field_of_a_problem_is_explained(kind: type) -> None:
    text = (DOCS / "problems.md").read_text("utf-8")
    tables = {"layout", "groups", "preprocess", "augment", "cases"}
    for name in {entry.name for entry in fields(kind)} - tables:
        assert f"`{name}`" in text, f"docs/problems.md does not explain {name}"


@pytest.mark.parametrize("kind", [Layout, GroupRule, PreprocessSpec, Augmentation])
def test_the_defaults_of_a_problem_are_those_of_the_code(kind: type) -> None:
    text = (DOCS / "problems.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| `([^|]+)` \|", text, re.MULTILINE)
    said = {name: default for names, default in rows for name in re.findall(r"[a-z_]+", names)}
    for entry in fields(kind):
        if entry.name in said and entry.default is not MISSING:
            wanted = list(entry.default) if isinstance(entry.default, tuple) else entry.default
            assert tomllib.loads(f"x = {said[entry.name]}")["x"] == wanted, entry.name


def test_the_drift_page_names_every_descriptor_and_their_number() -> None:
    (row,) = re.findall(r"^\| `descriptors` .*$", (DOCS / "drift.md").read_text("utf-8"), re.M)
    assert f"of {('ten', 'eleven', 'twelve')[len(descriptors.NAMES) - 10]} figures" in row
    for name in descriptors.NAMES:
        assert name.replace("_", " ") in row


def test_the_readme_leads_to_every_page() -> None:
    linked = {first for first, _ in LINK.findall((ROOT / "README.md").read_text("utf-8"))}
    pages = {f"docs/{page.name}" for page in DOCS.glob("*.md")} - {"docs/index.md"}
    assert pages - linked == set()


def test_the_commands_page_says_which_verbs_take_local() -> None:
    text = (DOCS / "commands.md").read_text("utf-8")
    rows = re.findall(r"^\| `[a-z ]+` \| `neuro ([^`]+)` \| ([^|]*)\|", text, re.MULTILINE)
    assert len(rows) > 40
    for example, cell in rows:
        command, _ = command_of(shlex.split(example))
        assert ("--local" in options_of(command)) == cell.startswith("yes"), example


def settings_rows() -> dict[str, str]:
    """The default that the page of the settings gives, by variable."""
    text = (DOCS / "settings.md").read_text("utf-8")
    return dict(re.findall(r"^\| `([A-Z0-9_]+)` \| .* \| ([^|]+) \|$", text, re.MULTILINE))


def test_the_settings_page_has_every_variable_that_is_read() -> None:
    read = re.findall(r'"(NEURO_\w+)"', Path(settings.__file__).read_text("utf-8"))
    assert {name for name in settings_rows() if name.startswith("NEURO_")} == set(read)


def test_the_defaults_of_the_settings_are_those_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = settings_rows()
    for name in said:
        monkeypatch.delenv(name, raising=False)
    here = settings.load(tmp_path)
    assert float(said["NEURO_INBOX_SETTLE_S"]) == here.inbox_settle_s
    assert float(said["NEURO_S3_DEADLINE_S"]) == here.s3_deadline_s
    assert int(said["NEURO_SHARD"]) == here.shard
    assert said["NEURO_RUNNER"] == f"`{here.runner}`"


def test_the_limits_of_an_archive_are_those_of_the_code() -> None:
    limits = Limits()
    said = (
        f"{limits.files:,} files, {limits.file_bytes / 1e9:g} GB a file, "
        f"{limits.total_bytes / 1e9:g} GB in all, {limits.ratio} times its\npacked size once "
        f"{limits.ratio_from_bytes / 1e6:g} MB are unpacked"
    )
    assert said in (DOCS / "your-data.md").read_text("utf-8")


def messages() -> str:
    """Every text in the library's code, a line each, with a gap where a value is filled in."""
    texts = []
    for path in (ROOT / "neuro").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else "\0" for v in node.values)
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_every_refusal_that_a_page_explains_is_one_of_the_code() -> None:
    _, _, after = (DOCS / "your-data.md").read_text("utf-8").partition("## When it says no\n")
    cells = re.findall(r"^\| (`.*?) \| ", after.partition("\n## ")[0], re.MULTILINE)
    said = messages()
    assert len(cells) > 30
    for quoted in INLINE.findall("\n".join(cells)):
        for words in map(str.split, re.split(r"\['X'\]|'\w'|\b[A-Z]\b|\d\w*|\.\.\.", quoted)):
            # What fills a gap may be a text of the code as well.
            halves = ((" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words) - 1))
            is_filled = any(f"{one} \0" in said and f"\n{two}" in said for one, two in halves)
            assert " ".join(words) in said or is_filled, quoted


@EVERY_PAGE
def test_no_figure_is_still_to_be_measured(page: Path) -> None:
    assert "TODO-FIGURE" not in page.read_text("utf-8")


@EVERY_PAGE
def test_no_page_names_a_path_of_one_machine(page: Path) -> None:
    assert MACHINE_PATH.search(page.read_text("utf-8")) is None
