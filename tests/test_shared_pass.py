"""One shared pass gives the penalty, the output and the gradients that two passes give."""

import pytest
import torch
from torch import nn

import axiswise as aw

BATCH, LATENT = 5, 4


def stack():
    return nn.Sequential(nn.Linear(LATENT, 6), nn.Tanh(), nn.Linear(6, 7))


class General(nn.Module):
    """Nothing that the fast road for plain stacks knows."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(LATENT, 6), nn.Linear(6, 7)

    def forward(self, z, *, shift=0.0):
        return self.second(torch.sin(self.first(z)) + shift)


class Several(General):
    def forward(self, z, *, shift=0.0):
        hidden = torch.sin(self.first(z)) + shift
        return hidden, self.second(hidden).view(-1, 1, 7)


PENALTIES = {
    "jl1": lambda g, z, **o: aw.jl1_penalty(g, z, [1, 3], **o),
    "orojar": aw.orojar_penalty,
    "hessian": aw.hessian_penalty,
}
OPTIONS = {
    "as published": {},
    "attached": {"detach": False},
    "differences": {"method": "finite"},
    "chunks of the batch and the probes": {"chunk_size": 2},
    "attached chunks": {"chunk_size": 3, "detach": False},
}


def through(then, output):
    return output if then is None else then(output)


def total(output):
    """A loss in which every entry of every output has a weight of its own."""
    each = [output] if isinstance(output, torch.Tensor) else output
    return sum((o.flatten().square() * torch.arange(o.numel(), dtype=o.dtype)).sum() for o in each)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize(
    ("make", "then"),
    [
        (stack, None),
        (stack, nn.Sigmoid()),
        (stack, torch.exp),
        (General, None),
        (General, nn.Sigmoid()),
        (Several, None),
        (Several, lambda both: both[1].exp()),
    ],
    ids=["stack", "stack, sigmoid", "stack, exp", "any", "any, sigmoid", "several", "several, exp"],
)
def test_equals_two_passes_in_value_and_gradient(make, then, penalty, options):
    """The oracle runs the generator once for the loss and once for the penalty.

    The latents come out of an encoder, whose gradient shows what reached them.
    """
    torch.manual_seed(0)
    encoder, generator = nn.Linear(3, LATENT).double(), make().double()
    x = torch.randn(BATCH, 3, dtype=torch.float64)
    parameters = [*encoder.parameters(), *generator.parameters()]

    shared = aw.SharedPass(generator, then)
    value = penalty(shared, encoder(x), **options)
    ours = [value, total(shared.output)]

    z = encoder(x)
    alone = penalty(lambda z: through(then, generator(z)), z, **options)
    theirs = [alone, total(generator(encoder(x) if options.get("detach", True) else z))]

    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(sum(ours), parameters),
        torch.autograd.grad(sum(theirs), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("make", [stack, General], ids=["stack", "any"])
def test_the_generator_runs_once(make):
    generator, runs = make(), []
    generator.register_forward_hook(lambda *_: runs.append(1))
    shared = aw.SharedPass(generator)
    aw.orojar_penalty(shared, torch.randn(BATCH, LATENT), probes=2)
    assert shared.output.shape == (BATCH, 7)
    assert len(runs) == 1


def test_keyword_conditioning_reaches_the_generator():
    generator = General()
    z, shift = torch.randn(BATCH, LATENT), torch.randn(BATCH, 6)
    shared = aw.SharedPass(generator, nn.Sigmoid())
    aw.jl1_penalty(shared, z, chunk_size=2, shift=shift)
    torch.testing.assert_close(shared.output, generator(z, shift=shift))
    torch.testing.assert_close(shared(z, shift=shift), generator(z, shift=shift).sigmoid())


def test_latents_that_need_no_gradient_get_none():
    """As in a GAN: there is nothing before the latents, so that nothing is walked back to them."""
    z = torch.randn(BATCH, LATENT)
    shared = aw.SharedPass(stack())
    penalty = aw.orojar_penalty(shared, z, probes=2)
    (penalty + shared.output.sum()).backward()
    assert z.grad is None
    assert shared.generator[0].weight.grad is not None


def test_without_gradients_the_output_is_plain():
    shared = aw.SharedPass(stack())
    z = torch.randn(BATCH, LATENT, requires_grad=True)
    with torch.no_grad():
        aw.jl1_penalty(shared, z)
    assert not shared.output.requires_grad


def test_the_latents_own_gradient_is_left_alone():
    """A leaf z gets the loss's gradient only, the graph's inner cut nothing that anyone sees."""
    generator = stack().double()
    z = torch.randn(BATCH, LATENT, dtype=torch.float64, requires_grad=True)
    shared = aw.SharedPass(generator)
    (aw.jl1_penalty(shared, z) + total(shared.output)).backward()
    (expected,) = torch.autograd.grad(total(generator(z)), z)
    torch.testing.assert_close(z.grad, expected)


def test_an_output_that_is_not_there_yet_is_an_error():
    with pytest.raises(RuntimeError, match="output is there after a penalty"):
        _ = aw.SharedPass(stack()).output


def test_a_generator_that_returns_no_tensor_is_refused():
    shared = aw.SharedPass(lambda z: {"image": z}, then=lambda d: d["image"])
    with pytest.raises(TypeError, match="generator must return a tensor"):
        aw.jl1_penalty(shared, torch.randn(BATCH, LATENT))
