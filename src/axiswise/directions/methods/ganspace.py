"""GANSpace: principal components of what a generator computes (Härkönen et al., NeurIPS 2020)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from axiswise.directions.family import method
from axiswise.directions.folding import first_layer, layer_named
from axiswise.directions.methods.sefa import module_of
from axiswise.directions.solving import check_count
from axiswise.directions.space import SearchSpace
from axiswise.generators import SamplesLatents
from axiswise.support.precision import power_scaled
from axiswise.support.progress import Progress

_AT_ONCE = 100  # latents that are run at once
_LEAST = 1e-10  # share of the variance that a component must have; rounding has less


@method("ganspace", ordered=True)
def ganspace(
    space: SearchSpace,
    rng: torch.Generator,
    progress: Progress,
    *,
    layer: str | None = None,
    samples: int = 2000,
) -> Tensor:
    """Latent directions of the principal components of a layer's outputs, or of the latents.

    For a generator with `sample_latents`, such as one of styles, the principal components of its
    latents themselves, unless a layer is named. For another, those of a layer's outputs; the
    direction of each is the one by which the latents are best regressed on it (arXiv 2004.02546,
    Eq. 1 and 2).

    Args:
        layer: Name of a layer, as in `named_modules()`; None for the latents where the generator
            samples them, else for the first linear or convolutional layer.
        samples: Number of latents; more than there are searched.

    Returns:
        (n, size), each of length 1, that of the largest variance first; n is the number of searched
        latents, or of dimensions in which the layer's outputs vary where these are fewer.

    Raises:
        TypeError: If a layer is needed and the generator is no `nn.Module`.
        ValueError: If there is no such layer, it is not called once, its outputs are not finite or
            do not vary, or there are too few samples.
    """
    from sklearn.decomposition import PCA

    check_count("samples", samples)
    if samples <= space.size:
        raise ValueError(f"samples must be more than {space.size}, got {samples}")
    of_latents = layer is None and isinstance(space.generator, SamplesLatents)
    latents, features = [], []
    for z, output in _outputs(space, layer, of_latents, samples, rng):
        latents.append(z[:, space.subspace])
        features.append(output)
        progress(sum(map(len, latents)), samples, {})
    z, x = torch.cat(latents).double().cpu(), torch.cat(features).double().cpu()
    if (x == x[0]).all():
        raise ValueError("layer must have outputs that vary with the latents, but all are the same")
    x, _ = power_scaled(x, (0, 1))  # so that variances are numbers too
    seed = int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
    components = PCA(min(space.size, x.shape[1]), random_state=seed)
    coordinates = torch.from_numpy(components.fit_transform(x.numpy()))
    # Of the others, the direction would be made of rounding.
    varies = torch.from_numpy(components.explained_variance_ratio_ > _LEAST)
    rows = coordinates.T[varies] @ z  # the coordinates are uncorrelated, and zero on average
    return rows / rows.norm(dim=1, keepdim=True)  # type: ignore[no-any-return]


@torch.no_grad()
def _outputs(
    space: SearchSpace, layer: str | None, of_latents: bool, samples: int, rng: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Latents, and their features: a layer's flat outputs, or the latents themselves."""
    counts = (min(_AT_ONCE, samples - start) for start in range(0, samples, _AT_ONCE))
    batches = (batch for count in counts for batch in space.batches(count, 1, rng))
    if of_latents:
        for batch in batches:
            yield batch.z, batch.searched
        return
    generator = module_of(space, "ganspace")
    name = first_layer(generator, space.latent_dim) if layer is None else layer
    kept: list[object] = []

    def keep(_module: nn.Module, _inputs: object, output: object) -> None:
        # A copy, since what follows may work in place.
        kept.append(output.clone() if isinstance(output, Tensor) else output)

    handle = layer_named(generator, name).register_forward_hook(keep)
    try:
        for batch in batches:
            kept.clear()
            generator(batch.z.clone(), **batch.conditioning)
            output = kept[0] if len(kept) == 1 else None
            if not isinstance(output, Tensor) or len(output) != len(batch):
                raise ValueError(
                    "layer must be called once in a pass and return a tensor with a row for each "
                    f"latent, but {name!r} is not"
                )
            if not output.isfinite().all():
                raise ValueError(f"layer must have finite outputs, got NaN or infinity of {name!r}")
            yield batch.z, output.flatten(1)
    finally:
        handle.remove()
