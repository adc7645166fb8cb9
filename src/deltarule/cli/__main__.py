"""Run the command line by ``python -m deltarule.cli``.

Python then puts the working directory first on the path; it is taken off before anything else is
imported, so that a ``csv.py`` or ``numpy.py`` lying there is not run.
"""

import os
import sys

if not sys.flags.safe_path and sys.path:
    place = sys.path.pop(0)
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.path.abspath(place) == home:  # deltarule itself is imported from there
        sys.path.append(place)

from deltarule.cli import main

if __name__ == "__main__":
    main()
