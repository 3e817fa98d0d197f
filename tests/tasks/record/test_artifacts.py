"""What a run shows, and that there is nothing to show outside one."""

import pytest

from tasks.record import artifacts

ASKING = ("create_table_artifact", "create_markdown_artifact", "create_link_artifact", "get_client")


def test_outside_a_run_nothing_is_asked_of_any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ASKING:
        monkeypatch.setattr(artifacts, name, lambda name=name, **_: asked.append(name))
    artifacts.table("key", [{"what": "images", "figure": 3}], "title")
    artifacts.markdown("key", "text", "title")
    artifacts.link("key", "file:///page.html", "title")
    artifacts.label_run("tag", name="name")
    assert asked == []


def test_a_row_is_shown_with_four_decimals() -> None:
    row = {"signal": "size", "p": 0.123456, "n": 7, "is_large": True}
    assert artifacts.rounded(row) == {"signal": "size", "p": 0.1235, "n": 7, "is_large": True}
