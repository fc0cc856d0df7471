"""What a figure's page shows of models' axes: columns, traversals, films, activeness, Hessians."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure as Picture
from torch import Tensor

from axiswise import plots
from axiswise.data import ThreeDots
from axiswise.metrics import activeness_maps, hessian_diagnostics
from axiswise.runs.figures.parts import Drawing, Films, Page, Part
from axiswise.runs.run import Run
from axiswise.runs.show import columns_of, traversals_of

_IMAGES = 4  # rows in the pictures of Jacobian columns
_STILLS = slice(None, None, 4)  # the steps of a traversal that are drawn side by side
_HESSIANS = 8  # latents at which the Hessians of a picture are taken
_FILMED = 8  # images in a film
_FPS = 12


def columns(page: Page) -> list[Part]:
    """Jacobian columns of a run of each model."""
    scene = page.figure.scene
    first = "the paper's scene and three images" if scene else "four images"
    return [
        Drawing(
            f"columns-{number}.png",
            _column_picture(run, scene),
            f"{_of(model, run)}: {first}, and what a small step along each axis adds (red) and "
            "takes (blue).",
        )
        for number, (model, run) in enumerate(page.pictured.items())
    ]


def scene_of(dots: Sequence[Sequence[int]]) -> Tensor:
    """An image of dots at places of their own, (1, 1, 64, 64), drawn as three-dots' images are.

    `dots` are x and y of their centres in pixels, to whole ones. A radius of .08 of the side, drawn
    by the authors' program, is that of `ThreeDots`.
    """
    source = ThreeDots(dots=len(dots), values=65)  # 64 steps of a pixel
    return source.render(torch.tensor(dots, device="cpu").view(1, -1))


def _column_picture(run: Run, scene: Sequence[Sequence[int]]) -> Picture:
    z = run.latents(_IMAGES)
    if scene:
        z = torch.cat((run.encode(scene_of(scene).to(z.device)), z[:-1]))
    drawn, images = columns_of(run, z), run.generate(z).cpu()
    return plots.jacobian_columns(drawn, images, run.activity, active_above=run.threshold)


def traversals(page: Page) -> list[Part]:
    """One image's traversals of every model, side by side."""
    found = {model: traversals_of(run, run.latents(1)) for model, run in page.pictured.items()}
    picture = plots.traversals_beside(
        {model: frames[0][:, _STILLS] for model, (_, frames) in found.items()},
        {model: values[:, _STILLS] for model, (values, _) in found.items()},
        _axes(page),
    )
    caption = "Traversals of one image: each row is an axis, with its activeness."
    return [Drawing("traversals.png", picture, f"{caption} {_seeds(page)}")]


def activeness(page: Page) -> list[Part]:
    """How much each axis changes the image, as bars."""
    found = {
        f"{model}, seed {evaluations[0]['seed']}": evaluations[0]["activeness_per_axis"]
        for model, evaluations in page.evaluations.items()
        if "activeness_per_axis" in evaluations[0]
    }
    caption = "Activeness: how much each axis changes the image."
    return [Drawing("activeness.png", plots.activeness(found), caption)] if found else []


def heat_maps(page: Page) -> list[Part]:
    """Where in the image each axis works."""
    maps = {
        model: activeness_maps(run.generate, run.latent_dim, rng=run.rng()).sqrt()
        for model, run in page.pictured.items()
    }
    caption = f"Where each axis changes the image, and how far. {_seeds(page)}"
    return [Drawing("heat-maps.png", plots.heat_maps(maps, _axes(page)), caption)]


def hessians(page: Page) -> list[Part]:
    """The Hessians of pixels, mean size of each entry."""
    found = {
        model: hessian_diagnostics(run.generator, run.latents(_HESSIANS))
        for model, run in page.pictured.items()
    }
    picture = plots.hessians(
        {model: one.mean_size for model, one in found.items()},
        {model: one.diagonal_share for model, one in found.items()},
    )
    caption = f"Hessians of the pixels at {_HESSIANS} latents. {_seeds(page)}"
    return [Drawing("hessians.png", picture, caption)]


def films(page: Page) -> list[Part]:
    """A film of each axis of each model, eight images at once."""
    return [_films(model, number, run) for number, (model, run) in enumerate(page.pictured.items())]


def _films(model: str, number: int, run: Run) -> Films:
    z = run.latents(_FILMED)
    values, frames = traversals_of(run, z)
    words = ("axis", run.activity_name)
    files, clips = {}, []
    largest = float(run.activity.max())
    for axis in run.activity.argsort(descending=True).tolist():
        label, activity = f"z{axis}", float(run.activity[axis])
        shown, own = frames[:, axis], z[:, axis].cpu()
        film = plots.direction_film(shown, values[axis], label, activity, own, words)
        video = plots.film_bytes(film, _FPS)
        files[f"film-{number}-{label}.mp4"] = video
        clips.append(plots.direction_clip(shown[0], film, video, label, activity, largest, words))
    caption = f"Seed {run.recipe.seed}, {_FILMED} images; a strip opens to its film."
    return Films(f"Films of {model}", files, plots.Gallery(clips), caption)


def _axes(page: Page) -> dict[str, plots.Axis]:
    return {
        model: plots.Axis(run.activity, run.threshold, run.activity_name)
        for model, run in page.pictured.items()
    }


def _of(model: str, run: Run) -> str:
    return f"{model}, seed {run.recipe.seed}"


def _seeds(page: Page) -> str:
    """The seeds of the runs that are drawn."""
    seeds = {run.recipe.seed for run in page.pictured.values()}
    return f"Seed {seeds.pop()}." if len(seeds) == 1 else "A run of each model."
