"""A whole training step: JL1-VAE with one sampled column, against β-VAE and the published JL1-VAE.

Run: python benchmarks/bench_training_step.py
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.data import ThreeDots
from axiswise.nets import ConvVAE
from axiswise.objectives import BetaVAE, Term, make_term
from axiswise.training.added import AddedTerms
from axiswise.training.allocator import keep_freed_memory
from axiswise.training.vae import VAEStep
from timing import compare, machine, show

BATCH, LATENT, EPSILON, GAMMA = 64, 10, 1e-3, 0.1
TARGET = 2.0


def main() -> None:
    torch.set_num_threads(2)
    keep_freed_memory()  # for both sides alike
    steps = {
        "JL1, one sampled column": step(make_term("jl1", weight=GAMMA, columns=1)),
        "JL1, exact": step(make_term("jl1", weight=GAMMA)),
        "JL1, one column, bfloat16": step(make_term("jl1", weight=GAMMA, columns=1), mixed=True),
        "published JL1 step": published_step(),
    }
    timings = compare(step(None), steps, rounds=15)
    print(machine())
    show(f"a training step, batch {BATCH}; the baseline is the β-VAE's step", timings)
    for name, timing in timings.items():
        print(f"  {name:<28} takes {1 / timing.ratio:5.2f} times the β-VAE's step")
    print(
        f"target: one sampled column at most {TARGET:.1f} times, "
        f"reached {1 / timings['JL1, one sampled column'].ratio:.2f}"
    )


def step(penalty: Term | None, mixed: bool = False) -> Callable[[], None]:
    """A step as the training loop takes it."""
    vae = ConvVAE(latent_dim=LATENT).to(memory_format=torch.channels_last)
    added = AddedTerms({} if penalty is None else {"jl1": penalty}, vae)
    module = VAEStep(vae, BetaVAE(), added)
    optimizer = torch.optim.Adam(vae.parameters(), fused=True)
    data, rng = ThreeDots(), torch.Generator()

    def run() -> None:
        images = data.render(data.draw(BATCH, rng))
        noise = torch.randn(BATCH, LATENT, generator=rng)
        drawn = added.draw(BATCH, LATENT, rng, slice(None))
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            terms, _, _ = module(images, noise, drawn, 1.0, {"jl1": 1.0})
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def published_step() -> Callable[[], None]:
    """The same in the published way: latent + 1 decodes, cropped transposed convolutions."""
    encoder = ConvVAE(latent_dim=LATENT).encoder
    widths = (64, 64, 32, 32, 1)
    linear = nn.ModuleList([nn.Linear(LATENT, 256), nn.Linear(256, 1024)])
    deconvolutions = nn.ModuleList(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2)
        for inputs, outputs in itertools.pairwise(widths)
    )
    parameters = [*encoder.parameters(), *linear.parameters(), *deconvolutions.parameters()]
    optimizer = torch.optim.Adam(parameters)
    data, rng = ThreeDots(), torch.Generator()

    def decode(z: Tensor) -> Tensor:
        hidden = linear[1](linear[0](z).relu()).view(-1, 64, 4, 4)
        for layer in deconvolutions:
            hidden = layer(hidden.relu())[:, :, 1:-1, 1:-1]
        return hidden.sigmoid()

    def run() -> None:
        images = data.render(data.draw(BATCH, rng))
        mean, log_variance = encoder(images)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        nll = F.binary_cross_entropy(decode(z), images, reduction="sum") / BATCH
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2 / BATCH
        here = z.detach()
        decoded = decode(here)
        penalty = torch.zeros(())
        for axis in range(LATENT):
            ahead = here.clone()
            ahead[:, axis] += EPSILON
            penalty = penalty + ((decode(ahead) - decoded) / EPSILON).abs().sum() / BATCH
        optimizer.zero_grad()
        (nll + 4 * kl + GAMMA * penalty).backward()
        optimizer.step()

    return run


if __name__ == "__main__":
    main()
