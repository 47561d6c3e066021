"""Scikit-learn's two photographs, a Chinese temple and a flower, 640x427 pixels: no download."""

from importlib.util import find_spec
from pathlib import Path

from workbench.problems import Problem

NAMES = ("china", "flower")


def files() -> dict[str, Path]:
    """Both JPEG files by their names; Problem where scikit-learn is not installed."""
    # Not `load_sample_images`: to import sklearn.datasets takes seconds, and a lesson that is explored opens at once.
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise Problem("scikit-learn, which has the photographs, is not installed.", "Install it: pip install scikit-learn.", "import")
    folder = Path(spec.origin).parent / "datasets" / "images"
    return {name: folder / f"{name}.jpg" for name in NAMES}
