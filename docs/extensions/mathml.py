"""Formulas as MathML, which browsers show by themselves: no script, and nothing from a network."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform

#: Sizes of delimiters by hand, which MathML sets by itself.
_SIZED = re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])")
#: A fraction of two digits, the one form without braces that docutils reads as one number.
_DIGITS = re.compile(r"\\([td]?frac)(\d)(\d)")
#: A named function applied to something, which browsers set without the space that TeX has.
_APPLIED = re.compile(r"<mi>(\w{2,})</mi>(\s*)<mo>&ApplyFunction;</mo>")
#: Norms and inner products, which in TeX keep their size unless \\left makes them grow.
_FIXED = re.compile(r'<mo( class="\w+")?>([‖⟨⟩])</mo>')
#: Bars around a number, which browsers take for the relation that stands between two.
_BARS = re.compile(r'<mo stretchy="false">\|</mo>')
#: A row of the outermost level that holds a relation.
_RELATION = re.compile(r"  <mo>(=|≤|≥|&lt;|&gt;|≈|∈|∼|←)</mo>")
_PUNCTUATION = re.compile(r"[.,;:)?!]+")
#: A bar over a letter, which as an accent is set into it.
_BAR = re.compile(r'<mover accent="true">(\s*<mi>\w</mi>\s*)<mo stretchy="false">ˉ</mo>')


def mathml(tex: str, as_block: bool) -> str:
    """The formula as a `<math>` element.

    Raises:
        ExtensionError: if docutils cannot read it.
    """
    plain = _DIGITS.sub(r"\\\1{\2}{\3}", _SIZED.sub("", tex))
    try:
        found = tex2mathml(plain, as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"the formula {tex!r} cannot be set: {error}") from error
    spaced = _APPLIED.sub(r'<mo lspace="0.17em" rspace="0.17em">\1</mo>', found)
    fixed = _FIXED.sub(r'<mo\1 stretchy="false">\2</mo>', spaced)
    fixed = _BARS.sub('<mo stretchy="false" lspace="0" rspace="0">|</mo>', fixed)
    return _BAR.sub(r'<mover>\1<mo stretchy="false">¯</mo>', fixed)


class Punctuation(SphinxPostTransform):
    """Hand a formula the punctuation that follows it, so that no line begins with a full stop."""

    default_priority = 900
    formats = ("html",)

    def run(self, **_: Any) -> None:
        for node in self.document.findall(nodes.math):
            # by place, as a text equals every other one that says the same
            place = node.parent.index(node) + 1
            follower = node.parent[place] if place < len(node.parent) else None
            found = isinstance(follower, nodes.Text) and _PUNCTUATION.match(follower)
            if found:
                node["after"] = found[0]
                node.parent[place] = nodes.Text(follower[found.end() :])


def _inline(writer: Any, node: nodes.math) -> None:
    *first, last = pieces(mathml(node.astext(), as_block=False))
    after = writer.encode(node.get("after", ""))
    writer.body.append("".join(first) + f'<span class="unbroken">{last}{after}</span>')
    raise nodes.SkipNode


def pieces(formula: str) -> list[str]:
    """The formula cut after each relation of its outermost level, where a line may break."""
    start, *rows, end = formula.strip().splitlines()
    cuts = [number for number, row in enumerate(rows[:-1], 1) if _RELATION.fullmatch(row)]
    return [
        "\n".join([start, *rows[low:high], end]) for low, high in pairwise([0, *cuts, len(rows)])
    ]


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer `mathml`."""
    app.add_post_transform(Punctuation)
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
