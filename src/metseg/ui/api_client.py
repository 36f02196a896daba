"""API client of one session of the page."""

from __future__ import annotations

from metseg.client.service_api import ServiceApi
from metseg.ui.page_settings import PageSettings


class Api(ServiceApi):
    """API client for one session.

    Args:
        settings: settings with the address of the API.
        key: the user's API key; None: the key of the settings.
    """

    def __init__(self, settings: PageSettings, key: str | None = None) -> None:
        super().__init__(settings.api_url, key or settings.api_key, transport=settings.transport)
        self.settings = settings
