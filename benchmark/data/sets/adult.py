"""Adult: who earns more than 50,000 dollars, by the census of 1994 (UCI)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmark.data.named import TableSet
from benchmark.data.own.csv_file import text_of_file
from benchmark.data.own.table import Roles, Table
from benchmark.errors import LetheError

#: Columns of the files, which have no header.
COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
)
#: What adult.names lists; `?` stands where nothing is known.
CATEGORIES = {
    "workclass": "? Private Self-emp-not-inc Self-emp-inc Federal-gov Local-gov State-gov "
    "Without-pay Never-worked",
    "marital-status": "Married-civ-spouse Divorced Never-married Separated Widowed "
    "Married-spouse-absent Married-AF-spouse",
    "occupation": "? Tech-support Craft-repair Other-service Sales Exec-managerial Prof-specialty "
    "Handlers-cleaners Machine-op-inspct Adm-clerical Farming-fishing Transport-moving "
    "Priv-house-serv Protective-serv Armed-Forces",
    "relationship": "Wife Own-child Husband Not-in-family Other-relative Unmarried",
    "race": "White Asian-Pac-Islander Amer-Indian-Eskimo Other Black",
    "sex": "Female Male",
    "native-country": "? United-States Cambodia England Puerto-Rico Canada Germany "
    "Outlying-US(Guam-USVI-etc) India Japan Greece South China Cuba Iran Honduras Philippines "
    "Italy Poland Jamaica Vietnam Mexico Portugal Ireland France Dominican-Republic Laos Ecuador "
    "Taiwan Haiti Columbia Hungary Guatemala Nicaragua Scotland Thailand Yugoslavia El-Salvador "
    "Trinadad&Tobago Peru Hong Holand-Netherlands",
}


class Adult(TableSet):
    """32,561 rows and 16,281 official test rows, two classes.

    The weight that the census gave a row says nothing about its person. The name of the degree
    says the same as its number. Both are left out.
    """

    name = "adult"
    title = "Adult"
    source = "Becker, Kohavi 1996: Adult (UCI, CC BY 4.0)"
    official_test = True
    roles = Roles(
        "income",
        drop=("fnlwgt", "education"),
        categories={name: tuple(words.split()) for name, words in CATEGORIES.items()},
        ranges={
            "age": (0.0, 100.0),
            "education-num": (1.0, 16.0),
            "capital-gain": (0.0, 99_999.0),
            "capital-loss": (0.0, 5000.0),
            "hours-per-week": (0.0, 100.0),
        },
        classes=("<=50K", ">50K"),
    )
    hashes: ClassVar = {
        "train": "cf27a2bc4f27cf322b391315b41392b81fb83357d34b4d9d2678fac39ca11983",
        "test": "291f208367a144a03c2ab420001ecd6fd40a16ba04589b3418cd1a4250f1603a",
    }
    files: ClassVar = {"train": "adult.data.gz", "test": "adult.test.gz"}

    @classmethod
    def read(cls, split: str) -> Table:
        """The rows of a file; labels of the test file end with a full stop."""
        path = cls.path(split)
        lines = (line.removesuffix(".").split(", ") for line in text_of_file(path).splitlines())
        rows = [cells for cells in lines if len(cells) == len(COLUMNS)]
        if not rows:
            raise LetheError(f"{path.name}: there is no row of Adult in it: take UCI's file")
        cells = np.array(rows, dtype=object)
        return Table(path.name, dict(zip(COLUMNS, cells.T, strict=True)))
