"""``python -m fasthep_parsl``: the command line without an installed script."""

from fasthep_parsl.cli.main import main

if __name__ == "__main__":
    main()
