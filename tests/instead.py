"""Something else stands under a name of the engine for a while: a bug, a shorter time, a watch.

A name is looked up where it is used, in the module that has imported it. One that is there no more
is a KeyError: nobody is to believe in a bug that is planted where nothing of the engine comes by.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Patch = tuple[Any, str, Any]  # a module or class, a name in it, what stands there instead


def held(holder: Any, name: str) -> Any:
    """Return what a module or a class itself has under a name."""
    return vars(holder)[name]


def put(*patches: Patch) -> list[Patch]:
    """Put it there for good; return the patches that undo it."""
    kept = [(holder, name, held(holder, name)) for holder, name, _ in patches]
    for holder, name, value in patches:
        setattr(holder, name, value)
    return kept[::-1]


@contextmanager
def instead(*patches: Patch) -> Iterator[None]:
    """Put it there, and back what was there before."""
    kept = put(*patches)
    try:
        yield
    finally:
        put(*kept)
