"""Reconstruction: how well an autoencoder gives images back."""

from axiswise.metrics.declaration import Subject, metric

_IMAGES = 1000


@metric("reconstruction", usual="always", needs=["autoencoder"])
def reconstruction(run: Subject) -> dict[str, float]:
    """Measures the error of reconstructions: negative log-likelihood and absolute error.

    Of 1,000 images, decoded from the means of their codes: nats, by the likelihood of training,
    summed over an image; the absolute error is the mean over pixels.
    """
    images = run.images(_IMAGES)
    decoded, likelihood = run.reconstruct(images)
    error = (decoded - images).abs().mean()
    return {"nll_of_means": float(likelihood.mean()), "mean_absolute_error": float(error)}
