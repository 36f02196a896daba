"""The list of studies on the page: search, labels, thumbnails, times, deletion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from streamlit.testing.v1 import AppTest

from metseg.ui.pages.history import day_limits

from .fake import FakeApi, done_volume, failed_study, png, queued_study

OpenPage = Callable[..., AppTest]


def words(page: AppTest) -> str:
    assert not page.exception, [element.value for element in page.exception]
    lists: Any = (page.markdown, page.caption, page.info, page.title)
    return "\n".join(str(element.value) for elements in lists for element in elements).replace("\\", "")


def test_a_row_has_label_time_zone_and_picture(service: FakeApi, page: OpenPage) -> None:
    moment = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
    thumbnail = png(np.zeros((128, 128, 3), dtype=np.uint8))
    study = service.add(done_volume(label="visit 2", created_at=moment), {"thumbnail.png": thumbnail})
    shown = page(page="studies")
    assert "**visit 2**" in words(shown)
    assert f"1 March 2026, 09:05 UTC, study {study.id[:8]}" in words(shown)
    assert f"GET /studies/{study.id}/artifacts/thumbnail.png" in service.asked
    assert len(shown.get("image")) == 1
    asked = len(service.asked)
    shown.run()
    assert not [call for call in service.asked[asked:] if "artifacts" in call]


def test_a_study_without_a_picture_is_listed(service: FakeApi, page: OpenPage) -> None:
    study = service.add(queued_study())
    assert study.id[:8] in words(page(page="studies"))


def test_the_search_is_done_by_the_service(service: FakeApi, page: OpenPage) -> None:
    service.add(done_volume(label="visit 2"))
    service.add(done_volume(label="control"))
    shown = page(page="studies")
    shown.text_input(key="search-label").set_value("VISIT").run()
    assert "visit 2" in words(shown)
    assert len([button for button in shown.button if button.label == "Open"]) == 1
    shown.selectbox(key="search-state").set_value("done").run()
    shown.selectbox(key="search-model").set_value("mets-3d").run()
    shown.date_input(key="search-dates").set_value((date(2026, 3, 1), date(2026, 3, 2))).run()
    assert service.searches[-1] == {
        "label": "VISIT",
        "state": "done",
        "model": "mets-3d",
        "begin": "2026-03-01T00:00:00+00:00",
        "end": "2026-03-03T00:00:00+00:00",
    }
    shown.text_input(key="search-label").set_value("nothing").run()
    assert "No study matches this search." in words(shown)


def test_days_are_those_of_the_browser() -> None:
    begin, end = day_limits([date(2026, 3, 29)], ZoneInfo("Europe/Berlin"))  # the clock goes forward
    assert begin is not None
    assert end is not None
    assert (end.astimezone(UTC) - begin.astimezone(UTC)).total_seconds() == 23 * 3600
    assert day_limits([], ZoneInfo("UTC")) == (None, None)


def test_a_label_is_changed_in_the_list(service: FakeApi, page: OpenPage) -> None:
    study = service.add(done_volume(label="visit 2"))
    shown = page(page="studies")
    shown.text_input(key=f"label-of-{study.id}").set_value(" visit  3 ").run()
    shown.button(key=f"save-label-{study.id}").click().run()
    assert service.studies[study.id].label == "visit 3"
    assert "**visit 3**" in words(shown)
    shown.text_input(key=f"label-of-{study.id}").set_value("a/b").run()
    assert shown.button(key=f"save-label-{study.id}").disabled


def test_deletion_is_confirmed(service: FakeApi, page: OpenPage) -> None:
    study = service.add(failed_study())
    shown = page(page="studies")
    assert "Images and results are deleted permanently." in words(shown)
    assert study.id in service.studies
    shown.button(key=f"delete-{study.id}").click().run()
    assert study.id not in service.studies
