"""Sets of tables: Adult, breast cancer, COMPAS and diabetes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmark.data.named import TableSet
from benchmark.data.own.arrays import bundled
from benchmark.data.own.files import read_csv, text_of_file
from benchmark.data.own.table import REGRESSION, Roles, Table
from benchmark.errors import LetheError, present

# Adult: who earns more than 50,000 dollars, by the census of 1994 (UCI).


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


# Breast cancer: 569 biopsies, 30 measures of cell nuclei (UCI).


#: The largest mean, standard error and worst value that a measure is taken to have: round numbers
#: above those that the set's description publishes. None is below 0.
LARGEST = {
    "radius": (40, 5, 50),
    "texture": (50, 6, 60),
    "perimeter": (250, 30, 300),
    "area": (3000, 600, 5000),
    "smoothness": (0.2, 0.05, 0.3),
    "compactness": (0.5, 0.2, 1.5),
    "concavity": (0.5, 0.5, 1.5),
    "concave points": (0.3, 0.1, 0.4),
    "symmetry": (0.4, 0.1, 0.8),
    "fractal dimension": (0.1, 0.05, 0.3),
}
_FORMS = ("mean {}", "{} error", "worst {}")


class BreastCancer(TableSet):
    """569 rows, two classes; there is no official test split."""

    name = "breast-cancer"
    title = "Breast cancer"
    source = "Street, Wolberg, Mangasarian 1993: Nuclear feature extraction (UCI)"
    roles = Roles(
        "target",
        ranges={
            form.format(measure): (0.0, float(largest))
            for measure, values in LARGEST.items()
            for form, largest in zip(_FORMS, values, strict=True)
        },
        classes=("malignant", "benign"),
    )
    hashes: ClassVar = {"train": "e1ae8fb6d79e363d22a4705d12489d9aa96cb84b18fe16e8bd4fb540ad55d706"}

    @classmethod
    def read(cls, split: str) -> Table:
        """The set, embedded in scikit-learn."""
        given = bundled("breast_cancer")
        columns = dict(zip(present(given.names), given.x.T, strict=True))
        classes = present(cls.roles.classes)
        columns["target"] = np.array([classes[label] for label in given.y], dtype=object)
        return Table(given.where, columns)


# COMPAS: who was charged again within two years, Broward County (ProPublica).


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


# Diabetes: 442 patients, 10 baseline measures, and how far the disease had gone a year later.


#: A progression above this number is of the class `above`; about half of the patients.
THRESHOLD = 140
#: Round numbers around those that the set's description publishes, in its units.
RANGES = {
    "age": (0.0, 100.0),
    "bmi": (10.0, 50.0),
    "bp": (40.0, 160.0),
    "s1": (50.0, 350.0),
    "s2": (20.0, 300.0),
    "s3": (10.0, 120.0),
    "s4": (1.0, 12.0),
    "s5": (2.0, 7.0),
    "s6": (40.0, 150.0),
}


class Diabetes(TableSet):
    """442 rows, two classes; there is no official test split."""

    name = "diabetes"
    title = "Diabetes"
    source = "Efron, Hastie, Johnstone, Tibshirani 2004: Least angle regression"
    roles = Roles(
        "progression",
        ranges=RANGES,
        categories={"sex": ("1", "2")},
        classes=("below", "above"),
    )
    hashes: ClassVar = {"train": "44e1639c29f60e33d599dc80658a7f488887343e6c52a5b6f91782942bc0c11e"}

    @classmethod
    def read(cls, split: str) -> Table:
        """The set in its own units, its patients in two classes."""
        columns = _measured()
        above = columns["progression"] > THRESHOLD
        columns["progression"] = np.where(above, "above", "below").astype(object)
        return Table("scikit-learn's diabetes", columns)


class DiabetesProgression(TableSet):
    """The same 442 rows, whose progression is predicted as the number that it is."""

    name = "diabetes-progression"
    title = "Diabetes, progression"
    source = Diabetes.source
    real_target = True
    roles = Roles(
        "progression",
        ranges=RANGES | {"progression": (0.0, 400.0)},
        categories={"sex": ("1", "2")},
        task=REGRESSION,
    )
    hashes: ClassVar = {"train": "37b0191a6f7b0c15c6ef3f0374d6c715a7a54282f9019671ec5cfd3da1f27249"}

    @classmethod
    def read(cls, split: str) -> Table:
        """The set in its own units."""
        return Table("scikit-learn's diabetes", _measured())


def _measured() -> dict[str, np.ndarray]:
    """The columns of the set that is embedded in scikit-learn."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    columns = dict(zip(found.feature_names, found.data.T, strict=True))
    columns["sex"] = np.array([f"{value:g}" for value in columns["sex"]], dtype=object)
    return columns | {"progression": found.target}
