"""`python -m why502`, and the command `why502`."""

import gc


def main() -> None:
    """Run the command line of this process."""
    gc.set_threshold(100_000)  # imports make many objects, and hardly any that only the collector of cycles frees
    from why502.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
