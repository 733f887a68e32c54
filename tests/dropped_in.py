"""Files dropped into a package for one test, and nothing of them left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def dropped_in(package: ModuleType, folder: Path) -> Iterator[None]:
    """Let the package have the files of `folder` as well.

    Modules of these files are forgotten at the end, so that each test imports its own.
    """
    path = list(package.__path__)
    package.__path__.append(str(folder))
    try:
        yield
    finally:
        package.__path__[:] = path
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name.startswith(f"{package.__name__}.") and file and folder in Path(file).parents:
                del sys.modules[name]
