"""Papers as BibTeX, from the one line that methods name them by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from leaderboard.render.latex import SPECIAL

# Authors: Title (Where 2024), and perhaps a remark
_PAPER = re.compile(
    r"(?P<authors>[^:]+): (?P<title>.+?) \((?P<where>[^()]*?) ?(?P<year>\d{4})\)(?P<remark>.*)"
)
_ARXIV = re.compile(r"https?://arxiv\.org/abs/(?P<number>[\d.]+)")
_SPECIAL = str.maketrans(SPECIAL)


@dataclass(frozen=True)
class Entry:
    """A paper's entry and the key that a text cites it by."""

    key: str
    text: str


def entry(paper: str, url: str) -> Entry:
    """The entry of a paper, e.g. `Zhang, Li: A Title (ICML 2024)`; what has no author is a title.

    Args:
        paper: as a method names it.
        url: of the paper; "" for none.
    """
    found = _PAPER.fullmatch(" ".join(paper.split()))
    if found is None:
        fields = {"title": f"{{{_tex(paper)}}}"}
        key = "-".join(re.findall(r"[a-z0-9]+", paper.casefold())[:4]) or "untitled"
    else:
        names = found["authors"].replace(" et al.", ", others").split(", ")
        fields = {
            "author": _tex(" and ".join(names)),
            "title": f"{{{_tex(found['title'])}}}",
            "howpublished": _tex(found["where"].strip()),
            "year": found["year"],
            "note": _tex(found["remark"].lstrip(", ")),
        }
        key = _key(names[0], found["year"], found["title"])
    if arxiv := _ARXIV.fullmatch(url):
        fields |= {"eprint": arxiv["number"], "archivePrefix": "arXiv"}
    fields["url"] = url
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return Entry(key, "\n".join([f"@misc{{{key},", *lines, "}"]))


def _key(author: str, year: str, title: str) -> str:
    word = next((w for w in re.findall(r"[a-z]+", title.casefold()) if len(w) > 3), "")
    return re.sub(r"[^a-z0-9]", "", author.casefold().split(" ")[-1]) + year + word


def _tex(text: str) -> str:
    return text.translate(_SPECIAL)
