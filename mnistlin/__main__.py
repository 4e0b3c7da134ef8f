"""`python -m mnistlin` is `mnistlin`."""

from mnistlin.cli import main

if __name__ == "__main__":
    main()
