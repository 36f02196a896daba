"""A subpackage that can be called like the public function of its name.

`metseg.predict` is the folder where prediction lives, and it is also the function a notebook wants:
``metseg.predict(case, model)``. Importing the folder binds the name, so the folder itself has to answer the call.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A module whose call is the function of the same name in `metseg.api`, loaded when it is first called."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        function = getattr(import_module("metseg.api"), self.__name__.rpartition(".")[2])
        return function(*args, **options)
