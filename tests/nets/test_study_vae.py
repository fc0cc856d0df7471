"""disentanglement_lib's network against its definition, written out in NumPy."""

import numpy as np
import pytest
import torch

from axiswise.nets import ConvVAE, StudyVAE, load


def same(images: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """TensorFlow's 'same' convolution of stride 2: (channel, height, width) to half the size."""
    kernel, side = weight.shape[2], images.shape[1]
    total = max((-(-side // 2) - 1) * 2 + kernel - side, 0)
    padded = np.pad(images, [(0, 0), *[(total // 2, total - total // 2)] * 2])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))
    found = np.einsum("cyxij,ocij->oyx", windows[:, ::2, ::2], weight)
    return np.maximum(found + bias[:, None, None], 0)


def test_the_encoder_pads_as_tensorflow_does() -> None:
    torch.manual_seed(0)
    vae = StudyVAE(size=32, channels=2, latent_dim=3).double()
    assert [layer.kernel_size[0] for layer in vae.encoder.trunk[:8:2]] == [4, 4, 2, 2]
    image = torch.rand(2, 32, 32, dtype=torch.float64)
    expected = image.numpy()
    for layer in vae.encoder.trunk[:8:2]:
        expected = same(expected, layer.weight.detach().numpy(), layer.bias.detach().numpy())
    assert expected.shape == (64, 2, 2)
    found = vae.encoder.trunk[:8](image[None])[0]
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-12, atol=1e-12)


def test_the_decoder_is_the_other_network_s() -> None:
    ours, other = StudyVAE(), ConvVAE()
    other.decoder.load_state_dict(ours.decoder.state_dict())
    z = torch.randn(2, 10)
    assert torch.equal(ours.decoder(z), other.decoder(z))
    assert ours(torch.rand(2, 1, 64, 64)).shape == (2, 1, 64, 64)


def test_weights_start_by_glorot_s_rule_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    for name, value in StudyVAE().named_parameters():
        if name.endswith("bias"):
            assert not value.any(), name
        else:  # (in and out channels, *kernel)
            limit = (6 / (sum(value.shape[:2]) * value[0, 0].numel())) ** 0.5
            assert 0.9 * limit < value.abs().max() <= limit, name


def test_it_is_saved_and_loaded(tmp_path) -> None:
    vae = StudyVAE(size=16, latent_dim=2)
    vae.save_pretrained(tmp_path)
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(load(tmp_path)(images), vae.eval()(images))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 24}, "size must be a multiple of 16, got 24"),
        ({"size": 0}, "size must be positive, got 0"),
        ({"channels": 0}, "channels must be positive, got 0"),
    ],
)
def test_wrong_sizes_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StudyVAE(**arguments)
