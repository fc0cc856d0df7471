"""What importing the pictures costs."""

import subprocess
import sys


def test_plots_touch_neither_pyplot_nor_the_film_libraries_when_imported():
    code = (
        "import sys, axiswise, axiswise.plots; "
        "print([m for m in ('matplotlib.pyplot', 'imageio', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
