"""`find_directions`: what it finds in scenes whose parts are known, and what it refuses."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions import METHODS
from axiswise.generators import ImageGenerator
from axiswise.jacobian import Jacobian

LENGTHS = (2.0, 3.0, 4.0, 5.0)
# Enough to find the parts of small scenes; by default searches take longer.
THOROUGH: dict[str, dict[str, Any]] = {
    "hessian": {"steps": 100, "learning_rate": 0.05},
    "jl1": {"steps": 200, "learning_rate": 0.05},
    "orojar+jl1": {"steps": 200, "learning_rate": 0.05},
}
# Enough to see that they run.
QUICK: dict[str, dict[str, Any]] = {
    "orojar": {"samples": 40},
    "hessian": {"steps": 8, "batch_size": 6},
    "orojar-published": {"steps": 8, "batch_size": 6},
    "hessian-published": {"steps": 8, "batch_size": 6},
    "jl1": {"samples": 20, "steps": 10},
    "orojar+jl1": {"samples": 20, "steps": 10},
    "ganspace": {"samples": 300},
    "jacobian-svd": {"samples": 20},
}
Nets = Callable[..., nn.Module]


class Waves(nn.Module):
    """A layer and a sine: nothing in it is apart."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.latent_dim = latents
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.layer = nn.Linear(latents, 2 * latents)
            nn.init.normal_(self.layer.weight)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.layer(z).sin()
        return images


def _quick(generator: ImageGenerator, method: str, **arguments: Any) -> aw.Directions:
    return aw.find_directions(generator, method, **(QUICK.get(method, {}) | arguments))


def _thorough(generator: ImageGenerator, method: str, **arguments: Any) -> aw.Directions:
    return aw.find_directions(generator, method, **(THOROUGH.get(method, {}) | arguments))


def _slow(*values: object) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("orojar", {}),
        _slow("orojar", {"solver": "adam", "steps": 300, "learning_rate": 0.1}),
        _slow("orojar", {"solver": "adam", "steps": 200, "learning_rate": 0.1, "columns": 3}),
        ("orojar+jl1", {}),
        ("jl1", {}),
        _slow("jl1", {"columns": 2}),
        ("hessian", {}),
        ("jacobian-svd", {}),
    ],
)
def test_planted_directions_are_found_through_a_random_rotation(
    scene: Nets, method: str, settings: dict[str, Any]
) -> None:
    """Parts that are apart, of different lengths; random directions score below 0.9."""
    generator = scene(LENGTHS)
    found = _thorough(generator, method, **settings)
    assert float(aw.match_directions(found, generator.rotation).scores.min()) > 0.99
    torch.testing.assert_close(found.matrix @ found.matrix.T, torch.eye(4), rtol=0, atol=1e-4)
    assert float(aw.match_directions(_quick(generator, "random"), generator.rotation)) < 0.9


def test_columns_of_equal_length_are_distinguished_by_jl1_and_not_by_orojar(scene: Nets) -> None:
    """In a linear scene all rotations of such columns are orthogonal, but few are sparse."""
    generator = scene((1.0,) * 5, bend=0.0)
    for method in ("jl1", "orojar+jl1"):
        found = _thorough(generator, method)
        assert float(aw.match_directions(found, generator.rotation).scores.min()) > 0.99
    assert float(aw.match_directions(_thorough(generator, "orojar"), generator.rotation)) < 0.9


@pytest.mark.parametrize("method", METHODS.names())
def test_rows_have_length_one_and_a_positive_largest_entry_and_are_as_many_as_latents(
    method: str,
) -> None:
    found = _quick(Waves(4), method)
    assert found.matrix.shape == (4, 4)
    assert found.matrix.dtype == torch.float32
    assert found.method == method
    torch.testing.assert_close(found.matrix.norm(dim=1), torch.ones(4))
    for row in found.matrix.tolist():
        assert max(row, key=abs) > 0
    assert bool((found.importance > 0).all())
    if method not in ("sefa", "ganspace", "jacobian-svd"):
        assert bool((found.importance.diff() <= 0).all())


@pytest.mark.parametrize("method", METHODS.names())
def test_the_first_n_are_those_of_all(method: str) -> None:
    whole = _quick(Waves(4), method)
    some = _quick(Waves(4), method, directions=2)
    assert torch.equal(some.matrix, whole.matrix[:2])
    torch.testing.assert_close(some.importance, whole.importance[:2])


@pytest.mark.parametrize("method", METHODS.names())
def test_a_seed_fixes_every_bit_and_leaves_the_global_randomness(method: str) -> None:
    before = torch.get_rng_state()
    first, again = (_quick(Waves(4), method, seed=3) for _ in range(2))
    assert torch.equal(first.matrix, again.matrix)
    assert torch.equal(first.importance, again.importance)
    assert torch.equal(torch.get_rng_state(), before)
    other = _quick(Waves(4), method, seed=4)
    if method not in ("sefa", "coordinates"):
        assert not torch.equal(other.matrix, first.matrix)


@pytest.mark.parametrize("method", ["orojar", "jl1", "jacobian-svd"])
def test_other_seeds_agree(scene: Nets, method: str) -> None:
    first, other = (_thorough(scene(LENGTHS), method, seed=seed) for seed in (0, 1))
    assert float(aw.match_directions(first, other).scores.min()) > 0.99
    assert not torch.equal(first.matrix, other.matrix)


@pytest.mark.parametrize("method", ["orojar", "jl1", "jacobian-svd", "random", "sefa", "ganspace"])
def test_a_subspace_is_searched_alone(method: str) -> None:
    """The other latents are zero in all rows, exactly, and what they do is not asked for."""
    found = _quick(Waves(5), method, subspace=(1, 4))
    assert found.matrix.shape == (3, 5)
    assert bool((found.matrix[:, [0, 4]] == 0).all())
    torch.testing.assert_close(found.matrix.norm(dim=1), torch.ones(3))
    assert found.settings["subspace"] == [1, 4]
    for same in (slice(1, 4), [1, 4]):
        assert torch.equal(_quick(Waves(5), method, subspace=same).matrix, found.matrix)


def test_the_parts_of_a_subspace_are_found(scene: Nets) -> None:
    """Searched latents rotate three parts; two more have latents of their own."""
    turned, other = scene((1.0, 2.0, 3.0)), scene((5.0, 0.1))

    class Both(nn.Module):
        latent_dim = 5

        def forward(self, z: Tensor) -> Tensor:
            return torch.cat([turned(z[:, 1:4]), other(z[:, [0, 4]])], 2)

    for method in ("orojar", "jl1"):
        found = _thorough(Both(), method, subspace=slice(1, 4))
        matched = aw.match_directions(found.matrix[:, 1:4], turned.rotation)
        assert float(matched.scores.min()) > 0.99
    ends = aw.find_directions(Both(), "coordinates", subspace=slice(None, 2))
    assert sorted(ends.matrix.argmax(1).tolist()) == [0, 1]
    assert ends.settings["subspace"] == [0, 2]


class Recorded(nn.Module):
    """Keeps the latents that were drawn from it."""

    latent_dim = 4

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.drawn: list[Tensor] = []

    def sample_latents(self, n: int, rng: torch.Generator) -> Tensor:
        self.drawn.append(torch.rand(n, 4, generator=rng))
        return self.drawn[-1]

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.net(z)
        return images


@pytest.mark.parametrize("method", ["random", "coordinates", "orojar", "jacobian-svd"])
def test_importance_is_the_mean_length_of_the_columns(mlp: Nets, method: str) -> None:
    """By reverse mode, at the 64 latents that were drawn last."""
    generator = Recorded(mlp())
    found = _quick(generator, method)
    latents = torch.cat(generator.drawn)[-64:]
    lengths = torch.zeros(4)
    for z in latents:
        jacobian = torch.autograd.functional.jacobian(lambda z: generator(z[None])[0], z)
        lengths += torch.stack([(jacobian @ row).norm() for row in found.matrix]) / 64
    torch.testing.assert_close(found.importance, lengths)
    assert "per unit of latent" in found.importance_unit


def test_importance_is_taken_at_few_latents_where_columns_are_many() -> None:
    """1024 columns in all, but at no fewer than 8 latents, and at no more than 64."""
    for latents, samples in ((4, 64), (32, 32), (300, 8)):
        done = []
        aw.find_directions(
            nn.Linear(latents, 2),
            "coordinates",
            latent_dim=latents,
            progress=lambda d, n, _t, done=done: done.append((d, n)),
        )
        assert done[-1] == (samples, samples)


@pytest.mark.parametrize("chunk_size", [pytest.param(1, marks=pytest.mark.slow), 6, 100])
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("orojar", {"samples": 20}),
        ("orojar", {"solver": "adam", "steps": 4, "batch_size": 6, "columns": 2}),
        ("hessian", {"steps": 4, "batch_size": 6, "probes": 3}),
        ("jl1", {"samples": 20, "steps": 5}),
        ("jl1", {"steps": 4, "batch_size": 6, "columns": 3}),
        ("orojar+jl1", {"samples": 20, "steps": 5}),
        ("jacobian-svd", {"samples": 20}),
        ("ganspace", {"samples": 130}),
    ],
)
def test_chunks_change_nothing(method: str, settings: dict[str, Any], chunk_size: int) -> None:
    whole = aw.find_directions(Waves(4), method, **settings)
    parts = aw.find_directions(Waves(4), method, chunk_size=chunk_size, **settings)
    torch.testing.assert_close(parts.matrix, whole.matrix, rtol=0, atol=2e-4)
    torch.testing.assert_close(parts.importance, whole.importance, rtol=1e-4, atol=0)
    assert parts.settings == whole.settings | {"chunk_size": chunk_size}


@pytest.mark.parametrize("method", [*METHODS.names(), "orojar adam"])
def test_no_more_rows_than_the_chunk_size_are_in_the_generator_at_once(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latents times directions, of what is differentiated; latents, of what is just run."""
    rows: list[int] = []

    for name in ("products", "curvatures"):
        asked = getattr(Jacobian, name)

        def noted(self: Jacobian, probes: Tensor, asked: Any = asked, **step: float) -> Any:
            rows.append(len(probes) * self.batch)
            return asked(self, probes, **step)

        monkeypatch.setattr(Jacobian, name, noted)
    generator = Waves(4)
    generator.register_forward_pre_hook(lambda _module, inputs: rows.append(len(inputs[0])))
    settings = {"solver": "adam", "steps": 2, "columns": 2} if method == "orojar adam" else {}
    _quick(generator, method.split()[0], chunk_size=5, **settings)
    assert max(rows) in (4, 5)


@pytest.mark.parametrize("method", ["orojar", "jl1", "jacobian-svd", "orojar+jl1"])
def test_a_black_box_is_searched_by_differences(scene: Nets, method: str) -> None:
    """In numpy and float64, which PyTorch cannot differentiate."""
    known = scene(LENGTHS, kind=torch.float64)
    rotation, slopes, offsets = (
        tensor.numpy() for tensor in (known.rotation, known.slopes, known.offsets)
    )

    def black_box(z: Tensor) -> Tensor:
        u = (z.double().numpy() @ rotation.T)[:, :, None]
        return torch.from_numpy((u + np.sin(u + offsets)) * slopes)[:, None]

    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(black_box(z), known(z.double()))
    found = _thorough(black_box, method, latent_dim=4, derivative="finite", epsilon=1e-3)
    assert float(aw.match_directions(found, known.rotation).scores.min()) > 0.99
    assert found.settings["derivative"] == "finite"
    assert found.settings["epsilon"] == 1e-3
    with pytest.raises(NotImplementedError, match="unless derivative='finite'"):
        aw.find_directions(black_box, method, latent_dim=4)


@pytest.mark.parametrize("method", ["hessian", "orojar", "jl1"])
def test_directions_learned_by_differences_are_those_learned_exactly(method: str) -> None:
    """Where the generator records gradients; where it does not, the error names a way out."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 12), nn.Mish()).double()
    settings = {"orojar": {"solver": "adam"}, "jl1": {"columns": 1}}.get(method, {})
    settings |= {"steps": 5, "latent_dim": 4}
    exact = aw.find_directions(net, method, **settings)
    found = aw.find_directions(net, method, derivative="finite", **settings)
    torch.testing.assert_close(found.matrix, exact.matrix, rtol=0, atol=0.02)
    assert "epsilon" not in found.settings
    blind = torch.no_grad()(lambda z: net(z.double()))
    with pytest.raises(ValueError, match=r"must record gradients .* (such as orojar|jacobi)"):
        aw.find_directions(blind, method, derivative="finite", **settings)


class Conditional(nn.Module):
    """The class decides which of two scenes is seen; half the latents are drawn with each."""

    def __init__(self, scenes: list[nn.Module]) -> None:
        super().__init__()
        self.scenes = nn.ModuleList(scenes)
        self.latent_dim = 4
        self.classes: list[Tensor] = []

    def sample_conditioning(self, z: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        self.classes.append(torch.randint(2, (len(z),), generator=rng))
        return {"classes": self.classes[-1]}

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        first, second = (scene(z) for scene in self.scenes)
        return torch.where(classes[:, None, None, None] == 0, first, second)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("orojar", {}),
        ("orojar", {"chunk_size": 8}),
        _slow("jl1", {"columns": 2, "chunk_size": 32, "steps": 100, "learning_rate": 0.1}),
        _slow("hessian", {}),
        ("jacobian-svd", {"derivative": "finite"}),
    ],
)
def test_conditioning_goes_with_its_latents(
    scene: Nets, method: str, settings: dict[str, Any]
) -> None:
    """Both classes turn the same parts, in other lengths, and both are drawn."""
    scenes = [scene(LENGTHS), scene((6.0, 6.0, 0.1, 0.2))]
    generator = Conditional(scenes)
    found = _thorough(generator, method, **settings)
    matched = aw.match_directions(found, scenes[0].get_buffer("rotation"))
    assert float(matched.scores.min()) > 0.99
    assert torch.cat(generator.classes).unique().tolist() == [0, 1]
    assert {len(classes) for classes in generator.classes} > {2}


def test_conditioning_may_be_held_by_a_closure(scene: Nets) -> None:
    scenes = Conditional([scene(LENGTHS), scene(LENGTHS[::-1])])

    def second(z: Tensor) -> Tensor:
        images: Tensor = scenes(z, torch.ones(len(z)))
        return images

    found = aw.find_directions(second, "jacobian-svd", latent_dim=4, samples=30)
    expected = aw.find_directions(scenes.scenes[1], "jacobian-svd", samples=30)
    torch.testing.assert_close(found.matrix, expected.matrix, rtol=0, atol=1e-4)


class Hierarchical(nn.Module):
    """Two latents go in early, three late; the early part is costly and counted."""

    latent_dim = 5

    def __init__(self, with_hold: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.early, self.late = nn.Linear(2, 6), nn.Linear(3, 6)
        self.counts = {"early": 0, "forward": 0, "hold": 0}
        if with_hold:
            self.hold = self._hold

    def _features(self, z: Tensor) -> Tensor:
        self.counts["early"] += 1
        features: Tensor = self.early(z).tanh()
        return features

    def _finish(self, features: Tensor, z: Tensor) -> Tensor:
        return (features * self.late(z).sin())[:, None, None]

    def forward(self, z: Tensor) -> Tensor:
        self.counts["forward"] += 1
        return self._finish(self._features(z[:, :2]), z[:, 2:])

    def _hold(self, z: Tensor, subspace: slice) -> Callable[[Tensor], Tensor]:
        self.counts["hold"] += 1
        assert subspace == slice(2, 5)
        features = self._features(z[:, :2])
        return lambda w: self._finish(features, w)


@pytest.mark.parametrize(
    ("method", "settings", "batches"),
    [
        # 16 latents make a batch by default.
        ("orojar", {"samples": 32}, 2),
        # 16 // 3 latents make one: four for each 16.
        ("orojar", {"samples": 32, "chunk_size": 16}, 8),
        # Each of three steps has a batch.
        ("orojar", {"solver": "adam", "steps": 3, "columns": 2}, 3),
        ("hessian", {"steps": 3}, 4),
        ("jl1", {"samples": 16, "steps": 3}, 1),
    ],
)
def test_what_does_not_depend_on_the_searched_latents_is_computed_once_a_batch(
    method: str, settings: dict[str, Any], batches: int
) -> None:
    """Two batches and one plain pass are for the check, and 64 latents for the importance."""
    generator, plain = Hierarchical(), Hierarchical(with_hold=False)
    found = aw.find_directions(generator, method, subspace=(2, 5), **settings)
    expected = batches + 2 + (16 if "chunk_size" in settings else 4)
    assert generator.counts == {"early": expected + 1, "forward": 1, "hold": expected}
    same = aw.find_directions(plain, method, subspace=(2, 5), **settings)
    torch.testing.assert_close(found.matrix, same.matrix, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.importance, same.importance)
    assert plain.counts["forward"] > 0


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("method", [*METHODS.names(), "orojar adam", "jl1 columns"])
def test_weights_get_no_gradients_and_want_them_as_before(method: str, wrapped: bool) -> None:
    """Also where the search sees nothing but a function that calls the network."""
    net = Waves(4)
    net.layer.bias.requires_grad_(False)
    if wrapped and method in ("sefa", "ganspace"):
        with pytest.raises(TypeError, match=r"generator must be an nn\.Module for method"):
            _quick(lambda z: net(z), method, latent_dim=4)
        return
    settings = {
        "orojar adam": {"solver": "adam", "steps": 3},
        "jl1 columns": {"columns": 2, "steps": 3},
    }.get(method, {})
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wanting: set[bool] = set()
    net.register_forward_pre_hook(lambda *_: wanting.add(net.layer.weight.requires_grad))
    generator: ImageGenerator = (lambda z: net(z)) if wrapped else net
    _quick(generator, method.split()[0], latent_dim=4, **settings)
    assert wanting == {wrapped}  # no graph through the weights is recorded where that can be had
    assert [parameter.requires_grad for parameter in net.parameters()] == [True, False]
    assert [parameter.grad for parameter in net.parameters()] == [None, None]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_weights_want_gradients_as_before_also_after_an_error(mlp: Nets) -> None:
    net = mlp()
    for settings in ({"latent_dim": 5}, {"latent_dim": 4, "samples": 0}):
        with pytest.raises(ValueError, match=r"samples must be|generator must take"):
            aw.find_directions(net, **settings)  # type: ignore[arg-type]
        assert all(parameter.requires_grad for parameter in net.parameters())
        assert all(parameter.grad is None for parameter in net.parameters())

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        aw.find_directions(net, latent_dim=4, progress=stop)
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("method", [*METHODS.names(), "orojar adam", "jl1 columns"])
def test_generators_of_other_types_are_searched_too(method: str, kind: torch.dtype) -> None:
    settings = {
        "orojar adam": {"solver": "adam", "steps": 3},
        "jl1 columns": {"columns": 2, "steps": 3},
    }.get(method, {})
    single = _quick(Waves(4), method.split()[0], **settings)
    other = _quick(Waves(4).to(kind), method.split()[0], **settings)
    assert other.matrix.dtype == torch.float32
    loose = kind == torch.bfloat16
    torch.testing.assert_close(
        other.importance, single.importance, rtol=0.1 if loose else 1e-3, atol=0
    )
    if not loose:
        torch.testing.assert_close(other.matrix, single.matrix, rtol=0, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", [*METHODS.names(), "orojar adam", "jl1 columns"])
def test_on_a_gpu_they_are_the_same(method: str) -> None:
    settings = {
        "orojar adam": {"solver": "adam", "steps": 3},
        "jl1 columns": {"columns": 2, "steps": 3},
    }.get(method, {})
    here = _quick(Waves(4), method.split()[0], **settings)
    there = _quick(Waves(4).cuda(), method.split()[0], **settings)
    assert there.matrix.device.type == there.importance.device.type == "cpu"
    torch.testing.assert_close(there.matrix, here.matrix, rtol=0, atol=1e-2)
    torch.testing.assert_close(there.importance, here.importance, rtol=1e-2, atol=0)


def test_settings_say_all_that_repeats_the_search_and_can_be_saved(
    mlp: Nets, tmp_path: Any
) -> None:
    found = aw.find_directions(
        mlp(), "jacobian-svd", 2, latent_dim=4, seed=7, subspace=(0, 3), z=torch.zeros(1, 4)
    )
    assert dict(found.settings) == {
        "seed": 7,
        "subspace": [0, 3],
        "derivative": "forward",
        "samples": 100,
        "z": [[0.0, 0.0, 0.0, 0.0]],
    }
    found.save(tmp_path)
    assert dict(aw.Directions.load(tmp_path).settings) == dict(found.settings)


@pytest.mark.parametrize("method", ["orojar", "hessian", "jl1", "orojar+jl1", "ganspace"])
def test_progress_is_reported_to_the_end(method: str) -> None:
    reported: list[tuple[int, int, dict[str, float]]] = []
    _quick(Waves(4), method, progress=lambda *what: reported.append(what))
    assert all(0 < done <= all_ for done, all_, _ in reported)
    assert reported[-1] == (64, 64, {})
    named = {name for _, _, terms in reported for name in terms}
    assert (
        named
        == {
            "orojar": {"off_diagonal_energy"},
            "hessian": {"hessian"},
            "jl1": {"jl1"},
            "orojar+jl1": {"off_diagonal_energy", "orojar", "jl1"},
            "ganspace": set(),
        }[method]
    )


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("pca", {}, "method must be one of coordinates, .*sefa, or an import path .*; got 'pca'"),
    ("jl1", {"layer": "0"}, "'jl1' has samples, steps, .*columns; got 'layer'"),
    ("random", {"steps": 3}, "settings must be the method's, 'random' has none; got 'steps'"),
    ("orojar", {"directions": 0}, "directions must be .* between 1 and 4, got 0"),
    ("orojar", {"directions": 5}, "directions must be .* between 1 and 4, got 5"),
    ("orojar", {"directions": 2.0}, "directions must be an integer between 1 and 4, got 2.0"),
    ("orojar", {"directions": 3, "subspace": (0, 2)}, "directions must be .* between 1 and 2"),
    ("orojar", {"chunk_size": 0}, "chunk_size must be an integer at least 1, got 0"),
    (
        "orojar",
        {"derivative": "reverse"},
        "derivative must be 'forward' or 'finite', got 'reverse'",
    ),
    ("orojar", {"derivative": "finite", "epsilon": 0.0}, "epsilon must be > 0, got 0.0"),
    ("orojar", {"derivative": "finite", "epsilon": math.nan}, "epsilon must be > 0, got nan"),
    ("orojar", {"solver": "newton"}, "solver must be 'jacobi' or 'adam', got 'newton'"),
    ("orojar", {"orthonormal": False}, "orthonormal must be True with solver='jacobi'"),
    ("orojar", {"samples": 0}, "samples must be an integer at least 1, got 0"),
    ("orojar", {"solver": "adam", "columns": 0}, "columns must be .* between 1 and 4, got 0"),
    ("orojar", {"solver": "adam", "columns": 5}, "columns must be .* between 1 and 4, got 5"),
    ("orojar", {"solver": "adam", "steps": 0}, "steps must be an integer at least 1, got 0"),
    ("orojar", {"solver": "adam", "batch_size": 0}, "batch_size must be .* at least 1, got 0"),
    ("orojar", {"solver": "adam", "learning_rate": 0.0}, "learning_rate must be > 0, got 0.0"),
    ("hessian", {"probes": 1}, "probes must be at least 2, got 1"),
    ("hessian", {"steps": -1}, "steps must be an integer at least 1, got -1"),
    ("hessian", {"batch_size": 0}, "batch_size must be an integer at least 1, got 0"),
    ("hessian", {"learning_rate": math.nan}, "learning_rate must be > 0, got nan"),
    ("jl1", {"samples": 0}, "samples must be an integer at least 1, got 0"),
    ("jl1", {"batch_size": 0}, "batch_size must be an integer at least 1, got 0"),
    ("jl1", {"columns": 5}, "columns must be an integer between 1 and 4, got 5"),
    ("jl1", {"steps": 0}, "steps must be an integer at least 1, got 0"),
    ("jl1", {"learning_rate": -1.0}, "learning_rate must be > 0, got -1.0"),
    ("orojar+jl1", {"weight": -0.1}, "weight must be ≥ 0, got -0.1"),
    ("orojar+jl1", {"weight": math.nan}, "weight must be ≥ 0, got nan"),
    ("orojar+jl1", {"samples": 0}, "samples must be an integer at least 1, got 0"),
    ("ganspace", {"samples": 4}, "samples must be more than 4, got 4"),
    ("ganspace", {"samples": 0}, "samples must be an integer at least 1, got 0"),
    (
        "ganspace",
        {"layer": "9"},
        r"layer must name a module of the generator \(0, 1, 2, …\), got '9'",
    ),
    ("sefa", {"layer": "9"}, r"layer must name a module of the generator \(0, 1, 2, …\), got '9'"),
    ("jacobian-svd", {"samples": 0}, "samples must be an integer at least 1, got 0"),
    ("jacobian-svd", {"z": torch.zeros(4)}, r"z must be \(batch, 4\), got \(4,\)"),
    ("jacobian-svd", {"z": torch.zeros(0, 4)}, r"z must be \(batch, 4\), got \(0, 4\)"),
    ("jacobian-svd", {"z": torch.zeros(1, 3)}, r"z must be \(batch, 4\), got \(1, 3\)"),
    *(
        ("random", {"subspace": bad}, "subspace must be .* 0 ≤ start < stop ≤ 4, got ")
        for bad in ((2, 2), (-1, 3), (1, 5), (3, 1), (1, 2, 3), (1,), 3, "0:2", slice(0, 4, 2))
    ),
]


@pytest.mark.parametrize(("method", "arguments", "message"), REFUSED)
def test_a_bad_argument_is_refused_by_name(
    mlp: Nets, method: str, arguments: dict[str, Any], message: str
) -> None:
    net = mlp()
    with pytest.raises(ValueError, match=message):
        aw.find_directions(net, method, **({"latent_dim": 4} | arguments))


def test_what_is_no_generator_is_refused(mlp: Nets) -> None:
    with pytest.raises(TypeError, match="generator must be callable, got Tensor"):
        aw.find_directions(torch.zeros(3), "random", latent_dim=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="latent_dim must be given"):
        aw.find_directions(mlp(), "random")


def one(space: Any, _rng: torch.Generator, _progress: Any, *, at: int = 0) -> Tensor:
    """A method of a user's: one latent."""
    return torch.eye(space.size)[[at]]


def without_settings_of_its_own(space: Any) -> Tensor:
    return torch.eye(space.size)


def of_another_width(_space: Any, _rng: Any, _progress: Any) -> Tensor:
    return torch.eye(7)


def test_a_user_s_own_method_goes_by_its_import_path() -> None:
    found = aw.find_directions(Waves(4), f"{__name__}:one", at=2, subspace=(1, 4))
    assert found.matrix.tolist() == [[0, 0, 0, 1]]
    assert found.settings["at"] == 2
    with pytest.raises(ValueError, match=r"'.*:one' has at; got 'steps'"):
        aw.find_directions(Waves(4), f"{__name__}:one", steps=2)
    with pytest.raises(ValueError, match=r"must return \(direction, 4\), got \(7"):
        aw.find_directions(Waves(4), f"{__name__}:of_another_width")
    with pytest.raises(TypeError, match=r"must be a function of \(space, rng, progress\)"):
        aw.find_directions(Waves(4), f"{__name__}:without_settings_of_its_own")
    with pytest.raises(TypeError, match=r"must be a function, got dict"):
        aw.find_directions(Waves(4), f"{__name__}:QUICK")
