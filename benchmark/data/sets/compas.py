"""COMPAS: who was charged again within two years, Broward County (ProPublica)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmark.data.named import TableSet
from benchmark.data.own.csv_file import read_csv
from benchmark.data.own.table import Roles, Table
from benchmark.errors import LetheError

_DAYS = "days_b_screening_arrest"


class Compas(TableSet):
    """6172 rows, two classes; there is no official test split.

    ProPublica's own choice of rows: arrested within 30 days of the screening. The score and what
    followed it are left out. The file has no column that names anybody.
    """

    name = "compas"
    title = "COMPAS"
    source = "Larson, Mattu, Kirchner, Angwin 2016: How we analyzed the COMPAS algorithm"
    roles = Roles(
        "two_year_recid",
        drop=("age_cat", _DAYS, "is_recid", "decile_score", "score_text"),
        categories={
            "sex": ("Female", "Male"),
            "race": (
                "African-American",
                "Asian",
                "Caucasian",
                "Hispanic",
                "Native American",
                "Other",
            ),
            "c_charge_degree": ("F", "M"),
        },
        ranges={
            "age": (0.0, 100.0),
            "juv_fel_count": (0.0, 20.0),
            "juv_misd_count": (0.0, 20.0),
            "juv_other_count": (0.0, 20.0),
            "priors_count": (0.0, 50.0),
        },
        classes=("0", "1"),
    )
    hashes: ClassVar = {"train": "7e042d1b63643f605f1416141cfdbef4d731225095558d47dfbcfcbe8a09632f"}
    files: ClassVar = {"train": "compas-two-years.csv.gz"}

    @classmethod
    def read(cls, split: str) -> Table:
        """The rows that ProPublica analysed."""
        table = read_csv(cls.path(split))
        if _DAYS not in table.columns:
            raise LetheError(f"{table.where}: it lacks '{_DAYS}': take ProPublica's two-year file")
        near = np.array([_is_near(days) for days in table.columns[_DAYS]])
        return Table(table.where, {name: cells[near] for name, cells in table.columns.items()})


def _is_near(days: str) -> bool:
    """Whether a cell is a whole number of days between -30 and 30."""
    return days.removeprefix("-").isdecimal() and abs(int(days)) <= 30
