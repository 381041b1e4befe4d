"""`python -m tollhouse`."""

from __future__ import annotations

from tollhouse.cli import main

if __name__ == "__main__":
    main()
