"""What a search must beat."""

import pytest
import torch
from torch import nn

import axiswise as aw


def test_coordinates_are_the_latents_in_the_order_of_what_they_do() -> None:
    generator = nn.Linear(4, 4)
    generator.weight.data = torch.diag(torch.tensor([1.0, 3.0, -4.0, 2.0]))
    found = aw.find_directions(generator, "coordinates", latent_dim=4)
    assert torch.equal(found.matrix, torch.eye(4)[[2, 1, 3, 0]])
    assert found.importance.tolist() == [4.0, 3.0, 2.0, 1.0]


@pytest.mark.slow
def test_random_directions_are_a_rotation_of_which_no_latent_is_preferred() -> None:
    """Over 300 seeds the mean square of each entry is 1/4."""
    generator = nn.Linear(4, 4)
    generator.weight.data = torch.eye(4)
    drawn = torch.stack(
        [
            aw.find_directions(generator, "random", latent_dim=4, seed=seed, chunk_size=256).matrix
            for seed in range(300)
        ]
    )
    torch.testing.assert_close(drawn @ drawn.mT, torch.eye(4).expand_as(drawn), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        drawn.square().mean((0, 1)), torch.full((4,), 0.25), rtol=0, atol=0.03
    )
