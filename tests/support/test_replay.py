"""Passes under the same conditions, and what a callable is made of."""

import doctest
import functools

import torch
from torch import Tensor, nn

import axiswise.support.replay
from axiswise.support.replay import Replay, parts

CPU = torch.device("cpu")
NET = nn.Linear(2, 2)


class Counts(nn.Module):
    """It counts its passes in a buffer in place, in another anew, and draws noise."""

    passes: Tensor
    renewed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))
        self.register_buffer("renewed", torch.zeros(()))
        self.register_buffer("left_alone", torch.ones(3))

    def forward(self) -> tuple[float, float, float]:
        self.passes += 1
        self.renewed = self.renewed + 1
        return float(self.passes), float(self.renewed), float(torch.rand(()))


def test_passes_are_repeated_and_the_conditions_are_those_after_the_first() -> None:
    torch.manual_seed(0)
    plain = Counts()
    wanted = [plain(), plain()]
    torch.manual_seed(0)
    net = Counts()
    alone = net.left_alone
    replay = Replay([net], CPU)
    first = net()
    for _ in range(3):
        with replay.again():
            assert net() == first == wanted[0]
    assert net() == wanted[1]
    assert net.left_alone is alone


def test_passes_that_are_only_made_again_leave_no_trace() -> None:
    net = nn.Sequential(Counts(), Counts())
    replay, state = Replay([net], CPU), torch.get_rng_state()
    for _ in range(2):
        with replay.again():
            assert net[1]()[:2] == (1, 1)
    assert [float(buffer) for name, buffer in net.named_buffers() if "left" not in name] == [0] * 4
    assert torch.equal(state, torch.get_rng_state())


def test_an_error_within_leaves_the_conditions_as_they_were() -> None:
    net = Counts()
    replay, state = Replay([net], CPU), torch.get_rng_state()
    try:
        with replay.again():
            net()
            raise KeyError
    except KeyError:
        pass
    assert float(net.passes) == float(net.renewed) == 0
    assert torch.equal(state, torch.get_rng_state())


def test_the_modules_of_a_callable_are_found() -> None:
    class Owner:
        def __init__(self, net: nn.Module) -> None:
            self.net = net

        def decode(self, z: Tensor) -> Tensor:
            return self.net(z)

        def __call__(self, z: Tensor) -> Tensor:
            return self.net(z)

    net = nn.Linear(2, 2)
    for generator in (
        net,
        net.forward,
        lambda z: net(z),
        lambda z, net=net: net(z),
        functools.partial(lambda scale, net, z: scale * net(z), 2.0, net),
        torch.no_grad()(lambda z: net(z)),
        Owner(net),
        Owner(net).decode,
        lambda z: (lambda z: net(z))(z),
    ):
        assert any(part is net for part in parts(generator))
    assert any(part is NET for part in parts(lambda z: NET(z)))
    assert not any(isinstance(part, nn.Module) for part in parts(torch.sin))
    assert list(parts(3)) == []


def test_a_circle_of_callables_comes_to_an_end() -> None:
    def first(z: Tensor) -> Tensor:
        return second(z)

    def second(z: Tensor) -> Tensor:
        return first(z)

    assert first.__code__ in parts(first)


def test_the_docstring_s_example_runs() -> None:
    assert doctest.testmod(axiswise.support.replay, raise_on_error=True).attempted == 5
