"""Run the command line by ``python -m deltarule.cli``, another name of ``python -m deltarule``."""

from deltarule.cli import main

if __name__ == "__main__":
    main()
