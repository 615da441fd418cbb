"""Plug-ins by folder: one file, one `SPEC`, found by the file's name; nothing else lists it."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from engine.errors import ConfigError


def plugins(package: str) -> dict[str, Any]:
    """Return file name -> its `SPEC`, for every module of a package that has one.

    Raises
    ------
    ConfigError
        If a SPEC's name is not that of its file.
    """
    found: dict[str, Any] = {}
    folder = import_module(package)
    for info in iter_modules(folder.__path__):
        spec = getattr(import_module(f"{package}.{info.name}"), "SPEC", None)
        if spec is None:
            continue
        if spec.name != info.name:
            raise ConfigError(
                f"SPEC is named `{spec.name}`; a plug-in has the name of its file",
                where=f"{package}.{info.name}",
                code="config/plugin",
            )
        found[info.name] = spec
    return found
