"""``python -m intertwine.training FOLDER NODE RANK PORT [MODULE ...]``: a helper process of a run on several devices
(see processes.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

from intertwine.numerics import handling
from intertwine.training.nodes import Place
from intertwine.training.processes import end_with_parent
from intertwine.training.run import join

if __name__ == "__main__":
    end_with_parent()
    with handling(None):  # a signal to the whole group is the first process's to answer
        node, local, port = map(int, sys.argv[2:5])
        join(Path(sys.argv[1]), Place(node, local), port, allow=sys.argv[5:])
