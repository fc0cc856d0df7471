"""Variation Predictability: what pairs are made, and what oracle generators score."""

from dataclasses import replace

import pytest
import torch

from axiswise.metrics import VP_PROTOCOLS, VPProtocol, vp, vp_pairs, vp_score

LATENTS = 4
QUICK = VPProtocol("difference", 0.05, epochs=30, width=0.125)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stripes(z):
    """Each latent is the grey of its own four rows, in [0, 1], with its own grain."""
    rows = (z / 4 + 0.5).repeat_interleave(4, 1)[:, None, :, None].expand(-1, 1, -1, 16)
    grain = torch.arange(16)[:, None] // 4 >= torch.arange(16) % 4
    return rows * grain


def waves(z):
    """Each latent shifts the wave in its own four rows."""
    phase = z[:, None, :, None].repeat_interleave(4, 2)
    return 0.5 + 0.5 * torch.sin(torch.arange(16) * 0.8 + 1.5 * phase)


def rotated(z):
    """The same picture of latents that are mixed beforehand: each shifts all waves."""
    mixed = torch.linalg.qr(torch.randn(LATENTS, LATENTS, generator=seeded(3)))[0]
    return waves(z @ mixed)


def blind(z):
    """Noise that knows nothing of z."""
    return torch.rand(len(z), 1, 16, 16, generator=seeded(len(z)))


def score(generator, **options):
    images, labels = vp_pairs(generator, LATENTS, pairs=1_000, rng=seeded())
    return vp_score(
        images, labels, **({"protocol": QUICK, "repeats": 1, "rng": seeded()} | options)
    )


# Pairs.


def values_of(images):
    """The latents that painted stripes, back from their images (…, 1, 16, 16)."""
    return (images[..., 0, ::4, 0].float() / 255 - 0.5) * 4


def test_pairs_differ_in_the_labelled_latent_alone():
    images, labels = vp_pairs(stripes, LATENTS, pairs=500, rng=seeded())
    assert images.shape == (500, 2, 1, 16, 16)
    assert images.dtype == torch.uint8
    first, second = values_of(images).unbind(1)
    others = torch.ones(500, LATENTS, dtype=torch.bool).scatter(1, labels[:, None], False)
    assert torch.equal(first[others], second[others])
    moved = first[~others] != second[~others]
    assert moved.float().mean() > 0.98  # but for what rounding to 256 levels hides


def test_latents_and_labels_are_uniform():
    images, labels = vp_pairs(stripes, LATENTS, pairs=4_000, rng=seeded())
    counts = torch.bincount(labels, minlength=LATENTS)
    assert (counts - 1_000).abs().max() < 5 * (4_000 * 0.25 * 0.75) ** 0.5
    for z in (values_of(images[:, 0]), values_of(images[:, 1]).gather(1, labels[:, None])):
        assert z.mean().abs() < 0.1
        assert abs(z.std() - 4 / 12**0.5) < 0.05  # of the uniform distribution over [-2, 2]
        assert z.abs().max() <= 2.01
    changes = (values_of(images[:, 0]) - values_of(images[:, 1])).gather(1, labels[:, None])
    assert abs(changes.square().mean() - 2 * 16 / 12) < 0.2  # both ends are independent


def test_only_the_latents_asked_for_are_drawn_anew():
    images, labels = vp_pairs(stripes, LATENTS, pairs=200, latents=[3, 1], rng=seeded())
    first, second = values_of(images).unbind(1)
    assert torch.equal(first[:, [0, 2]], second[:, [0, 2]])
    assert set(labels.tolist()) == {0, 1}
    assert ((first - second)[labels == 0].abs().mean(0) > 0.1).tolist() == [False] * 3 + [True]


def test_images_are_rounded_as_in_a_file_and_cut_off():
    paint = lambda z: torch.tensor([-0.1, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 1.2])[  # noqa: E731
        None, None, :, None
    ].expand(len(z), 1, 6, 1)
    images, _ = vp_pairs(paint, 1, pairs=1, rng=seeded())
    assert images[0, 0, 0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]


def test_batches_change_no_pair():
    few, labels = vp_pairs(stripes, LATENTS, pairs=50, batch_size=7, rng=seeded())
    many, same = vp_pairs(stripes, LATENTS, pairs=50, batch_size=100, rng=seeded())
    assert torch.equal(few, many)
    assert torch.equal(labels, same)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": 0}, "pairs must be at least 1"),
        ({"latents": [0, 4]}, r"latents must be different indices below 4, got \[0, 4\]"),
        ({"latents": [1, 1]}, "latents must be different"),
        ({"latents": []}, "latents must be different"),
        ({"generator": lambda z: z}, "generator must give images"),
        ({"generator": lambda z: stripes(z) / 0}, "generator must give finite images"),
    ],
)
def test_wrong_arguments_of_pairs_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        vp_pairs(**({"generator": stripes, "latent_dim": LATENTS, "pairs": 3} | change))


# Scores.


@torch.no_grad()
def test_disjoint_changes_score_near_one_rotated_ones_less_and_none_chance():
    longer = VPProtocol("difference", 0.1, epochs=60, width=0.125)
    apart, mixed, none = (float(score(g, protocol=longer)) for g in (waves, rotated, blind))
    assert apart > 0.93
    assert none == pytest.approx(1 / LATENTS, abs=0.06)
    assert none + 0.2 < mixed < apart - 0.06


def test_both_images_as_channels_tell_as_well():
    both = VPProtocol("concatenation", 0.2, epochs=30, width=0.125)
    assert float(score(stripes, protocol=both)) > 0.8


def test_each_repeat_splits_anew_and_all_come_from_the_seed():
    once = score(rotated, repeats=2)
    assert once.values.shape == (2,)
    assert once.values[0] != once.values[1]
    assert float(once) == once.mean == once.values.mean()
    assert once.std == once.values.std()
    torch.manual_seed(17)
    assert (score(rotated, repeats=2).values == once.values).all()


def test_the_global_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    score(stripes, protocol=VPProtocol("difference", 0.05, epochs=1, width=0.125))
    assert torch.equal(torch.rand(3), expected)


def test_the_published_protocols():
    dsprites, clevr = VP_PROTOCOLS["dsprites"], VP_PROTOCOLS["clevr"]
    assert (dsprites.combination, dsprites.train_share, dsprites.epochs) == (
        "difference",
        0.01,
        300,
    )
    assert (clevr.combination, clevr.train_share) == ("concatenation", 0.1)
    assert {(p.batch_size, p.learning_rate) for p in (dsprites, clevr)} == {(32, 5e-4)}


@pytest.mark.parametrize(
    ("name", "combination", "share"),
    [("dsprites_published", "difference", 0.01), ("clevr_published", "concatenation", 0.1)],
)
def test_the_published_forms_are_whole(name, combination, share):
    assert VP_PROTOCOLS[name] == VPProtocol(
        combination,
        share,
        batch_size=32,
        learning_rate=5e-4,
        epochs=300,
        width=1.0,
        best_epoch=True,
        coloured=True,
    )
    pairs = torch.zeros(2, 2, 1, 16, 16, dtype=torch.uint8)
    inputs = vp._combined(pairs, VP_PROTOCOLS[name])
    assert inputs.shape[1] == {"difference": 3, "concatenation": 6}[combination]
    network = vp._classifier(inputs.shape[1], 1.0, 12)
    shapes = [tuple(value.shape) for value in network.parameters() if value.dim() > 1]
    first = (64, inputs.shape[1], 7, 7)
    assert shapes == [first, (64, 64, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (12, 256)]


def test_the_best_epoch_is_the_best_of_trainings_that_end_after_each():
    once = replace(QUICK, epochs=1)
    after = [float(score(rotated, protocol=replace(once, epochs=n))) for n in range(1, 9)]
    best = float(score(rotated, protocol=replace(once, epochs=8, best_epoch=True)))
    assert best == max(after)
    assert len(set(after)) > 1


def test_progress_counts_epochs_of_all_repeats():
    seen = []
    short = VPProtocol("difference", 0.05, epochs=2, width=0.125)
    score(stripes, protocol=short, repeats=2, progress=lambda *at: seen.append(at))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": torch.zeros(4, 1, 8, 8)}, ValueError, r"images must be \(pair, 2, channel"),
        ({"images": torch.zeros(4, 2, 1, 8, 8)}, TypeError, "images must be uint8"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, ValueError, r"labels must be \(pair,\)"),
        ({"labels": torch.zeros(4)}, TypeError, "labels must be int64"),
        ({"labels": torch.full((4,), -1)}, ValueError, "labels must be at least 0, got -1"),
        ({"protocol": "faces"}, ValueError, r"protocol must be one of \['clevr', 'clevr_"),
        ({"protocol": "dsprites"}, ValueError, "protocol must leave pairs to learn from"),
        ({"protocol": VPProtocol("sum", 0.5)}, ValueError, "combination of the protocol"),
        ({"repeats": 0}, ValueError, "repeats must be at least 1"),
    ],
)
def test_wrong_arguments_of_scores_are_named(change, error, message):
    arguments = {
        "images": torch.zeros(4, 2, 1, 8, 8, dtype=torch.uint8),
        "labels": torch.zeros(4, dtype=torch.int64),
        "protocol": QUICK,
    }
    with pytest.raises(error, match=message):
        vp_score(**(arguments | change))
