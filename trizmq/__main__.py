"""Run `trizmq` as `python -m trizmq`."""

from .cli import main

if __name__ == "__main__":
    main()
