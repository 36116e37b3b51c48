import sys


def main() -> None:
    """The command line, from its first import on without a traceback for a Ctrl-C."""
    try:
        from litejobs.cli import main as run  # noqa: PLC0415  # the import takes a while

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
