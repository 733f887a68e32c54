"""Numbers as people read them."""

from __future__ import annotations

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# powers of ten that are written out
_PLAIN = range(-3, 5)


def number(value: float, digits: int = 3) -> str:
    """`value` to so many significant digits, e.g. 0.0123 or 8.0×10⁸."""
    if value == 0:
        return "0"
    power = _power(value, digits)
    if power in _PLAIN:
        return _fixed(value, digits - 1 - power)
    return _scaled(value, power, digits - 1)


def measured(mean: float, half_width: float | None, *, signed: bool = False) -> tuple[str, str]:
    """A mean and the half-width of its interval, to the digits that the interval supports.

    Args:
        mean: any number.
        half_width: None if there is no interval.
        signed: put a plus before a positive mean.

    Returns:
        Both as text; the second is "" if there is no interval.
    """
    plus = "+" if signed and mean > 0 else ""
    if not half_width:
        return plus + number(mean), "" if half_width is None else "0"
    # two digits of the interval, but no more than four of the mean
    decimals = 1 - _power(half_width, 2)
    if abs(mean) > half_width:
        decimals = min(decimals, 3 - _power(mean, 4))
    power = _power(max(abs(mean), half_width), 4)
    if power in _PLAIN:
        spread = _fixed(half_width, decimals)
        return plus + _fixed(mean, decimals), spread if spread.strip("0.") else number(
            half_width, 2
        )
    digits = decimals + power
    return plus + _scaled(mean, power, digits), _scaled(half_width, power, digits)


def span(values: list[float], digits: int = 3) -> str:
    """The range of some numbers; one number where they look the same."""
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low} to {high}"


def _power(value: float, digits: int) -> int:
    """The power of ten of `value` after rounding, so that 9.99 to two digits has that of 10."""
    return int(f"{value:.{digits - 1}e}".split("e")[1])


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{max(0, decimals)}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def _scaled(value: float, power: int, decimals: int) -> str:
    return f"{_fixed(value / 10.0**power, decimals)}×10{str(power).translate(_SUPERSCRIPT)}"
