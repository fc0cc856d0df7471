"""What importing the data sets and the pictures costs."""

import subprocess
import sys


def test_no_library_of_images_or_films_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, axiswise.data; assert 'PIL' not in sys.modules; import axiswise.plots; "
        "print([m for m in ('matplotlib.pyplot', 'imageio', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
