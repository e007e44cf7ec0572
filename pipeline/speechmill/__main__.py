"""`python -m speechmill` is the command `speechmill`."""

from speechmill.cli.main import main

if __name__ == "__main__":
    main()
