"""``python -m firstedge``, for what starts modules and not commands, such as torchrun."""

from firstedge.cli import main

if __name__ == "__main__":
    main()
