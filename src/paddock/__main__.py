"""`python -m paddock`, as `torchrun` starts it."""

from paddock.cli.main import main

if __name__ == "__main__":
    main()
