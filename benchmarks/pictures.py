"""What pictures of results share."""

from pathlib import Path

from studyhall.envs.files import whole_file


def figure(width: float, height: float):
    """An empty picture of so many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(made)
    return made


def written(made, path: Path) -> None:
    """Write a picture, whole or not at all."""
    with whole_file(path) as file:
        made.savefig(file, format="png")
    print(path)
