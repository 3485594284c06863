"""`python -m trizmq` is `trizmq`."""

from .cli import main

if __name__ == "__main__":
    main()
