"""`python -m lethe`: the command line."""

from __future__ import annotations

from benchmark.__main__ import main

if __name__ == "__main__":
    main()
