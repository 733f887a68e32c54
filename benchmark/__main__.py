"""The program `lethe`, also as `python -m benchmark`."""

from __future__ import annotations

from benchmark import ends


def main() -> None:
    """Run the command line; an interrupt is heard from here on, while it is imported too."""
    try:
        with ends.program():
            from benchmark.cli import main as command_line

            command_line()
    except ends.Left as left:
        ends.leave_tidily(left.code)


if __name__ == "__main__":
    main()
