"""The fast road of plain stacks: what takes it, and that it equals `torch.func.jvp`."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import axiswise as aw
from axiswise.jacobian import push
from axiswise.jacobian.kernels import Kernels
from axiswise.jacobian.stack import calls, plain_layers, push_forward

LATENT = 6

# PyTorch's first jvp calls what PyTorch itself deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")


def conv(*layers, channels=4):
    """A stack from latents over a 4×5 image to what the layers make of it."""
    return nn.Sequential(
        nn.Linear(LATENT, channels * 20), nn.Unflatten(1, (channels, 4, 5)), *layers
    )


def asymmetric(inputs, outputs):
    return nn.ConvTranspose2d(inputs, outputs, (3, 5), stride=(1, 3), padding=(1, 2))


STACKS = {
    "linear": lambda: nn.Linear(LATENT, 5),
    "empty": lambda: nn.Sequential(),
    "no bias": lambda: nn.Sequential(nn.Linear(LATENT, 5, bias=False), nn.Tanh()),
    "relu": lambda: nn.Sequential(nn.Linear(LATENT, 9), nn.ReLU(), nn.Linear(9, 4)),
    "relu in place": lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(LATENT, 4), nn.Tanh()),
    "leaky relu": lambda: nn.Sequential(nn.Linear(LATENT, 9), nn.LeakyReLU(0.3), nn.Linear(9, 4)),
    "tanh": lambda: nn.Sequential(nn.Linear(LATENT, 9), nn.Tanh(), nn.Linear(9, 4), nn.Tanh()),
    "sigmoid": lambda: nn.Sequential(nn.Linear(LATENT, 9), nn.Sigmoid(), nn.Linear(9, 4)),
    "identity": lambda: nn.Sequential(nn.Identity(), nn.Linear(LATENT, 9), nn.Identity()),
    "nested": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(LATENT, 9), nn.Sequential(nn.Tanh())), nn.Linear(9, 4)
    ),
    "shared layer": lambda: (lambda layer: nn.Sequential(layer, nn.Tanh(), layer))(
        nn.Linear(LATENT, LATENT)
    ),
    "sets of vectors": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 3)), nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)
    ),
    "flatten and unflatten": lambda: conv(
        nn.Flatten(2), nn.Tanh(), nn.Unflatten(-1, (2, 10)), nn.Flatten(), nn.Linear(80, 3)
    ),
    "conv": lambda: conv(nn.Conv2d(4, 6, 3), nn.Tanh()),
    "conv, same padding": lambda: conv(nn.Conv2d(4, 6, 3, padding="same"), nn.Tanh()),
    "conv, strided": lambda: conv(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Tanh()),
    "conv, grouped": lambda: conv(nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.Sigmoid()),
    "conv, dilated": lambda: conv(nn.Conv2d(4, 6, 2, dilation=2, bias=False), nn.Tanh()),
    "transposed": lambda: conv(nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), nn.Tanh()),
    "transposed, output padding": lambda: conv(
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), nn.Tanh()
    ),
    "transposed, grouped": lambda: conv(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Tanh()),
    "transposed, dilated": lambda: conv(nn.ConvTranspose2d(4, 6, 3, dilation=2), nn.Tanh()),
    "transposed, asymmetric": lambda: conv(asymmetric(4, 6), nn.Tanh()),
    "transposed, one channel": lambda: conv(nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh()),
    "transposed, three channels": lambda: conv(asymmetric(4, 3), nn.LeakyReLU(), asymmetric(3, 2)),
    "transposed, one channel, no bias": lambda: conv(
        nn.ConvTranspose2d(4, 1, 4, 2, bias=False), nn.Tanh(), nn.Conv2d(1, 2, 3)
    ),
    "transposed, one channel, output padding": lambda: conv(
        nn.ConvTranspose2d(4, 1, 3, stride=2, output_padding=1), nn.Tanh()
    ),
    "transposed, one channel, grouped": lambda: conv(
        nn.ConvTranspose2d(4, 2, 3, groups=2), nn.Tanh(), nn.ConvTranspose2d(2, 1, 3, dilation=2)
    ),
    "paper's decoder, small": lambda: nn.Sequential(
        nn.Linear(LATENT, 8),
        nn.ReLU(),
        nn.Linear(8, 32),
        nn.Unflatten(1, (8, 2, 2)),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 5, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(5, 1, 4, stride=2, padding=1),
        nn.Sigmoid(),
    ),
    "instance norm": lambda: conv(nn.InstanceNorm2d(4), nn.Tanh()),
    "instance norm, affine": lambda: normed(nn.InstanceNorm2d(4, eps=0.1, affine=True)),
    "instance norm, eval": lambda: normed(nn.InstanceNorm2d(4, affine=True).eval()),
    "paper's GAN, small": lambda: aw.nets.SimpleGenerator(8, LATENT, channels=2, width=0.08),
}


def normed(norm):
    """Scales and shifts that are not all alike, and a second norm on what the first made."""
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 0.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, 2.0, -1.0]))
    return conv(norm, nn.LeakyReLU(0.2), asymmetric(4, 3), nn.InstanceNorm2d(3), nn.Tanh())


def general(stack, z, probes, order=1):
    """The same by PyTorch's forward mode, one probe at a time."""

    def derivative(function, probe):
        return lambda z: torch.func.jvp(function, (z,), (probe,))[1]

    derivatives = []
    for probe in probes:
        function = copy_free(stack)
        for _ in range(order):
            function = derivative(function, probe)
        with Kernels(len(z), order):
            derivatives.append(function(z))
    return stack(z.clone()), torch.stack(derivatives)


def copy_free(stack):
    return lambda z: stack(z.clone())  # the first layer may work in place


def gradients(tensors, stack):
    weights = [torch.randn(t.shape, generator=torch.Generator().manual_seed(1)) for t in tensors]
    loss = sum((t * w).sum() for t, w in zip(tensors, weights, strict=True))
    parameters = list(stack.parameters())
    return torch.autograd.grad(loss, parameters, materialize_grads=True) if parameters else ()


@pytest.mark.parametrize("batch", [1, 3, 70], ids=lambda batch: f"batch of {batch}")
@pytest.mark.parametrize("name", STACKS)
def test_equals_forward_mode_in_value_and_parameter_gradient(name, batch):
    """70 samples are more than are carried at once, 3 samples of 25 probes are several loads."""
    torch.manual_seed(0)
    stack = STACKS[name]().double()
    z = torch.randn(batch, LATENT, dtype=torch.float64)
    probes = torch.randn(25, batch, LATENT, dtype=torch.float64)
    before = z.clone()

    layers = plain_layers(stack)
    assert layers is not None
    values, (products,) = push_forward(layers, z, probes, [len(layers)])
    ours, theirs = (values[-1], products), general(stack, z, probes)
    assert torch.equal(z, before)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)
    for one, other in zip(gradients(ours, stack), gradients(theirs, stack), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", STACKS)
def test_second_derivatives_equal_nested_forward_mode_in_value_and_gradient(name):
    torch.manual_seed(0)
    stack = STACKS[name]().double()
    z = torch.randn(3, LATENT, dtype=torch.float64, requires_grad=True)
    probes = torch.randn(25, 3, LATENT, dtype=torch.float64)
    layers = plain_layers(stack)
    _, (ours,) = push_forward(layers, z, probes, [len(layers)], order=2)
    _, theirs = general(stack, z, probes, order=2)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(ours)
    wanted = [z, *stack.parameters()]
    for one, other in zip(
        # The sum of z: so that there is a graph to walk, if only an empty stack's.
        torch.autograd.grad((ours * weights).sum() + z.sum(), wanted, materialize_grads=True),
        torch.autograd.grad((theirs * weights).sum() + z.sum(), wanted, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in STACKS if "norm" in name or "GAN" in name])
def test_norms_have_the_gradients_of_reverse_mode_over_reverse_mode(name):
    """The oracle shares neither code nor mode: PyTorch's own norm, differentiated twice backward.

    Both the weights and the latents get gradients, through the norm's mean and variance too.
    """
    torch.manual_seed(0)
    stack = STACKS[name]().double()
    z = torch.randn(3, LATENT, dtype=torch.float64, requires_grad=True)
    full = torch.autograd.functional.jacobian(stack, z, create_graph=True)
    theirs = torch.stack([full[b, ..., b, :].movedim(-1, 0) for b in range(len(z))])
    ours = aw.jacobian_columns(stack, z, detach=False)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)
    weights = torch.randn_like(theirs)
    wanted = [z, *stack.parameters()]
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), wanted, materialize_grads=True),
        torch.autograd.grad((theirs * weights).sum(), wanted, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["nested", "relu in place", "paper's GAN, small"])
def test_products_of_parts_of_a_stack_are_those_of_the_parts_alone(name):
    torch.manual_seed(0)
    layers = plain_layers(STACKS[name]().double())
    z = torch.randn(3, LATENT, dtype=torch.float64)
    probes = torch.randn(25, 3, LATENT, dtype=torch.float64)
    for wanted in ([0], [1], [len(layers) - 1, 0, 1], range(len(layers) + 1)):
        values, products = push_forward(layers, z, probes, list(wanted))
        assert len(values) == len(layers) + 1
        assert len(products) == len(wanted)
        for end, ours in zip(wanted, products, strict=True):
            value, theirs = general(nn.Sequential(*layers[:end]), z, probes)
            torch.testing.assert_close(values[end], value, rtol=1e-11, atol=1e-12)
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_finds_where_each_module_of_a_stack_ends():
    tanh, inner, empty = nn.Tanh(), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential()
    stack = nn.Sequential(tanh, inner, empty, tanh)
    assert calls(stack) == [
        (tanh, 1),
        (inner[0], 2),
        (inner[1], 3),
        (inner, 3),
        (empty, 3),
        (tanh, 4),
        (stack, 4),
    ]


def test_a_norm_over_the_batch_is_refused():
    """Of three axes, instance norm takes the first for channels."""
    stack = nn.Sequential(nn.Linear(LATENT, 8), nn.Unflatten(1, (2, 4)), nn.InstanceNorm2d(3))
    with pytest.raises(ValueError, match=r"InstanceNorm2d normalises \(3, 2, 4\) over the batch"):
        aw.jacobian_columns(stack, torch.randn(3, LATENT))


def test_a_norm_of_a_bfloat16_network_works_in_float32():
    torch.manual_seed(0)
    stack = STACKS["instance norm, affine"]()
    z = torch.randn(4, LATENT)
    exact = aw.jacobian_columns(stack, z)
    ours = aw.jacobian_columns(stack.bfloat16(), z.bfloat16())
    assert ours.dtype == torch.bfloat16
    assert (ours - exact).norm() / exact.norm() < 2**-5


def test_the_jacobian_takes_the_fast_road_only_where_it_may(monkeypatch):
    taken = []
    monkeypatch.setattr(
        push, "push_forward", lambda *given: (taken.append(1), push_forward(*given))[1]
    )
    stack = STACKS["tanh"]()
    z = torch.randn(2, LATENT)
    aw.jacobian_columns(stack, z)
    aw.orojar_penalty(stack, z, probes=2)
    aw.hessian_penalty(stack, z)
    assert len(taken) == 3
    aw.jacobian_columns(lambda z: stack(z), z)
    aw.jacobian_columns(stack, z, method="finite")
    assert len(taken) == 3


def test_finds_the_layers_of_nested_stacks_in_order():
    linear, tanh, relu = nn.Linear(2, 2), nn.Tanh(), nn.ReLU()
    nested = nn.Sequential(nn.Sequential(linear, nn.Sequential(tanh)), relu)
    assert plain_layers(nested) == [linear, tanh, relu]
    assert plain_layers(linear) == [linear]


def test_a_subclass_of_sequential_that_only_builds_is_a_plain_stack():
    class Decoder(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(LATENT, 3), nn.Tanh())

    assert len(plain_layers(Decoder())) == 2


class OwnForward(nn.Sequential):
    def forward(self, z):
        return 2 * super().forward(z)


class OwnLinear(nn.Linear):
    def forward(self, z):
        return super().forward(z).abs()


def with_hook(register):
    linear = nn.Linear(LATENT, 3)
    getattr(linear, register)(lambda *_: None)
    return linear


def patched(module):
    original = module.forward
    module.forward = lambda z: 2 * original(z)
    return module


def old_weight_norm():
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(nn.Linear(LATENT, 3))


OTHERS = {
    "a function": lambda: torch.tanh,
    "a bound method": lambda: nn.Linear(LATENT, 3).forward,
    "another module": lambda: nn.GRUCell(LATENT, 3),
    "another layer": lambda: nn.Sequential(nn.Linear(LATENT, 3), nn.GELU()),
    "another norm": lambda: nn.Sequential(nn.Linear(LATENT, 3), nn.LayerNorm(3)),
    "a norm that tracks": lambda: conv(nn.InstanceNorm2d(4, track_running_stats=True)),
    "dropout": lambda: nn.Sequential(nn.Linear(LATENT, 3), nn.Dropout()),
    "a module list": lambda: nn.ModuleList([nn.Linear(LATENT, 3)]),
    "own forward": lambda: OwnForward(nn.Linear(LATENT, 3)),
    "own layer": lambda: nn.Sequential(OwnLinear(LATENT, 3)),
    "patched forward": lambda: patched(nn.Sequential(nn.Linear(LATENT, 3))),
    "patched layer": lambda: nn.Sequential(patched(nn.Linear(LATENT, 3))),
    "forward hook": lambda: nn.Sequential(with_hook("register_forward_hook")),
    "forward pre-hook": lambda: nn.Sequential(with_hook("register_forward_pre_hook")),
    "hook on the stack": lambda: with_stack_hook(),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(LATENT, 3)),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(LATENT, 3))),
    "old weight norm": old_weight_norm,
    "reflecting padding": lambda: conv(nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect")),
    "circular padding": lambda: conv(nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular")),
    "flatten the batch": lambda: nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (4, LATENT))),
    "flatten from behind": lambda: nn.Sequential(nn.Flatten(-2), nn.Unflatten(0, (4, LATENT))),
    "unflatten the batch": lambda: nn.Sequential(nn.Unflatten(0, (2, 2)), nn.Flatten(0, 1)),
}


@pytest.mark.parametrize(
    "layer",
    [
        nn.Flatten(0),
        nn.Flatten(-2),
        nn.Unflatten(0, (2, 2)),
        nn.Unflatten(-2, (2, 2)),
    ],
    ids=str,
)
def test_a_layer_that_may_reshape_the_batch_is_no_plain_one(layer):
    assert plain_layers(layer) is None


def with_stack_hook():
    stack = nn.Sequential(nn.Linear(LATENT, 3))
    stack.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    return stack


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_takes_the_general_road(name):
    assert plain_layers(OTHERS[name]()) is None


@pytest.mark.parametrize("name", ["own forward", "own layer", "patched forward", "patched layer"])
def test_what_changes_the_output_changes_the_jacobian(name):
    torch.manual_seed(0)
    generator = OTHERS[name]().double()
    z = torch.randn(4, LATENT, dtype=torch.float64)
    full = torch.autograd.functional.jacobian(generator, z)
    wanted = torch.stack([full[b, :, b].T for b in range(4)])
    torch.testing.assert_close(aw.jacobian_columns(generator, z), wanted)


@pytest.mark.parametrize("name", ["flatten the batch", "flatten from behind"])
def test_reshaping_through_the_batch_is_left_to_the_general_road(name):
    z = torch.randn(4, LATENT)
    wanted = torch.eye(LATENT).expand(4, -1, -1)
    torch.testing.assert_close(aw.jacobian_columns(OTHERS[name](), z), wanted)


def test_conditioning_that_a_stack_cannot_take_is_an_error_as_in_calling_it():
    with pytest.raises(TypeError, match="unexpected keyword argument 'label'"):
        aw.jacobian_columns(
            STACKS["tanh"](), torch.randn(4, LATENT), conditioning={"label": torch.arange(4)}
        )


def test_slopes_at_zero_are_those_of_pytorch():
    for layer in (nn.ReLU(), nn.LeakyReLU(0.2)):
        z = torch.zeros(1, LATENT)
        general = aw.jacobian_columns(lambda z, layer=layer: layer(z), z)
        assert torch.equal(aw.jacobian_columns(layer, z), general)


def test_saturated_slopes_keep_their_digits_under_autocast():
    """A sigmoid at 6 rounds to 0.9961 in bfloat16; its slope 0.00247 would be off by 60 %."""
    stack = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
    with torch.no_grad():
        stack[0].weight.fill_(1.0)
        stack[0].bias.fill_(0.0)
    z = torch.full((1, 1), 6.0)
    with torch.autocast("cpu", torch.bfloat16):
        slope = aw.jacobian_columns(stack, z).item()
    exact = torch.sigmoid(z).double().item()
    assert slope == pytest.approx(exact * (1 - exact), rel=2**-7)


@pytest.mark.parametrize("name", ["transposed", "transposed, one channel", "instance norm, affine"])
def test_torch_func_differentiates_a_penalty_of_a_stack(name):
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = STACKS[name]().double()

        def forward(self, z):
            return aw.jl1_penalty(self.decoder, z)

    loss, z = Loss(), torch.randn(3, LATENT, dtype=torch.float64)
    parameters = dict(loss.named_parameters())
    ours = torch.func.grad(lambda p: torch.func.functional_call(loss, p, z))(parameters)
    theirs = torch.autograd.grad(loss(z), list(parameters.values()), materialize_grads=True)
    for one, other in zip(ours.values(), theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_weights_are_read_at_every_call():
    stack = STACKS["relu"]()
    z = torch.randn(3, LATENT)
    first = aw.jacobian_columns(stack, z)
    doubled = copy.deepcopy(stack)
    with torch.no_grad():
        doubled[2].weight.mul_(2)
    torch.testing.assert_close(aw.jacobian_columns(doubled, z), 2 * first)
