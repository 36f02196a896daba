"""Blocks become Markdown that GitHub and pandoc read."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from metseg.reporting.blocks import Block, Bullets, Facts, Figure, Gallery, Paragraph, Section, Table
from metseg.reporting.html import _environment
from metseg.reporting.markdown import WRITERS, markdown, section_markdown


def test_every_kind_of_block_has_a_writer_and_a_template() -> None:
    kinds = get_args(Block)
    assert set(WRITERS) == set(kinds)
    templates = set(_environment().list_templates())
    assert {f"blocks/{kind.kind}.html" for kind in kinds} <= templates


def test_blocks_stand_apart() -> None:
    figure = Figure(Path("deep/f.svg"), "caption", alt="what it is")
    blocks = [
        Paragraph("text", label="Warning"),
        Paragraph("", label="alone"),
        Bullets(("one", "two")),
        Facts((("Date", "today"),)),
        figure,
        Gallery((figure, figure)),
    ]
    picture = "![what it is](f.svg)"
    expected = ["**Warning**: text", "**alone**", "- one\n- two", "- Date: today", picture, picture, picture]
    assert markdown(blocks) == "\n\n".join(expected)


def test_a_section_has_its_heading() -> None:
    section = Section("s", "Title", (Table(("a", "b"), (("1", "x\ny"),)),))
    assert section_markdown(section) == "## Title\n\n| a | b |\n| --- | --- |\n| 1 | x y |"
