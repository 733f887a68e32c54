"""Formulas as MathML, which browsers show by themselves: no script, and nothing from a network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

#: Sizes of delimiters by hand, which MathML sets by itself.
_SIZED = re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])")
#: A fraction of two digits, the one form without braces that docutils reads as one number.
_DIGITS = re.compile(r"\\([td]?frac)(\d)(\d)")


def mathml(tex: str, as_block: bool) -> str:
    """The formula as a `<math>` element.

    Raises:
        ExtensionError: if docutils cannot read it.
    """
    plain = _DIGITS.sub(r"\\\1{\2}{\3}", _SIZED.sub("", tex))
    try:
        return tex2mathml(plain, as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"the formula {tex!r} cannot be set: {error}") from error


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer `mathml`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
