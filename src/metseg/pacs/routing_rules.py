"""Rules that say which received studies are processed, and with which model: a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metseg.errors import InputError


class RoutingRule(BaseModel):
    """A rule: images of a modality in a study with a description.

    Args:
        description: pattern with ``*`` and ``?`` for the description of the study or of one of its series; case does
            not matter.
        modality: of the images that are processed; other objects of the study are left out.
        model: name of a model; None: the service chooses the one that fits best.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = "*"
    modality: str = "MR"
    model: str | None = None

    def matches(self, descriptions: Collection[str]) -> bool:
        """Return whether one of the descriptions matches.

        >>> RoutingRule(description="*brain*").matches(["MR BRAIN WITH CONTRAST"])
        True
        """
        pattern = self.description.casefold()
        return any(fnmatchcase(text.casefold(), pattern) for text in descriptions or [""])


class RoutingRules(BaseModel):
    """The rules in order; the first that matches counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: tuple[RoutingRule, ...] = Field(min_length=1)


def read_rules(path: Path) -> RoutingRules:
    """Return the rules of a TOML file with a table ``[[rule]]`` for each.

    Raises:
        InputError: the file is absent, is no TOML, or has unknown keys.
    """
    try:
        return RoutingRules.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(
            "the rules cannot be read", where=path, got=error.strerror, cure="check the path", code="input.missing"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError("not TOML", where=path, got=error, cure="correct the file", code="input.rules") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"a wrong rule: {first['msg']}",
            where=f"{path}: {'.'.join(map(str, first['loc']))}",
            expected="tables [[rule]] with description, modality and model",
            cure="correct the file",
            code="input.rules",
        ) from None
