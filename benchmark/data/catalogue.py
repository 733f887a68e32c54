"""Data sets by name, and a user's own."""

from __future__ import annotations

from functools import cache

from benchmark import plugins
from benchmark.data.dataset import Dataset
from benchmark.data.named import NamedSet
from benchmark.data.own.spec import Arrays, OwnData, own_kind
from benchmark.data.own.table import REGRESSION
from benchmark.errors import LetheError

#: How an experiment says what its data are.
DataSpec = str | OwnData | Arrays

KIND = plugins.Kind[NamedSet](
    word="data set",
    wanted="a NamedSet class",
    accepts=lambda cls: issubclass(cls, NamedSet),
    packages=("benchmark.data.sets",),
    group="lethe.data",
)


#: All sets that have a name, in the order of files, then plug-ins.
discover = cache(KIND.classes)


def find(name: str) -> type[NamedSet]:
    """The set called `name`.

    Raises:
        LetheError: if there is none.
    """
    kind = own_kind(name)
    if kind is not None and name not in discover():
        raise LetheError(
            f"data '{name}' is no name of a set: of a file write data = {{ {kind} = '{name}', "
            "target = '...' }"
        )
    return KIND.find(name)


def load(data: DataSpec) -> Dataset:
    """The data set, verified; one with a name is read once a process.

    Raises:
        LetheError: for an unknown name, or if it cannot be read or is not what it should be, as
            where its class says nothing of a real target.
    """
    return _named(data) if isinstance(data, str) else data.load()


def clear() -> None:
    """Forget which sets were loaded and found."""
    _named.cache_clear()
    discover.cache_clear()
    plugins.find.cache_clear()


@cache
def _named(name: str) -> Dataset:
    cls = find(name)
    found = cls.load()
    if (found.target is not None) != cls.real_target:
        kinds = ("a real number", "classes")
        said, has = kinds if cls.real_target else reversed(kinds)
        raise LetheError(
            f"data '{name}': {cls.__name__} declares a target of {said}, and its rows have {has}: "
            f"set real_target = {not cls.real_target}"
        )
    return found


def name(data: DataSpec) -> str:
    """What the data set is called among names."""
    return data if isinstance(data, str) else data.name


def title(data: DataSpec) -> str:
    """What people call the data set.

    Raises:
        LetheError: for an unknown name.
    """
    return find(data).title if isinstance(data, str) else data.name


def levels(data: DataSpec) -> int:
    """The largest pixel value of the data set.

    Raises:
        LetheError: for an unknown name.
    """
    return find(data).levels if isinstance(data, str) else 255


def default_features(data: DataSpec) -> str:
    """What an experiment takes that names no features.

    Raises:
        LetheError: for an unknown name, or if own data cannot be read.
    """
    if isinstance(data, str):
        return find(data).features
    if not load(data).train.is_table:
        return "unit-pixels"
    ranged = any(column.low is not None for column in load(data).columns)
    return "declared-ranges" if ranged else "standardised"


def has_real_target(data: DataSpec) -> bool:
    """Whether a real number is predicted; own data say so once they were read."""
    if not isinstance(data, str):
        return data.task == REGRESSION
    found = discover().get(data)  # an unknown name is refused elsewhere
    return found is not None and found.real_target


def has_official_test(data: DataSpec) -> bool:
    """Whether there are test rows beside those to train on.

    Raises:
        LetheError: for an unknown name.
    """
    return isinstance(data, str) and find(data).official_test
