"""BigGAN (Brock, Donahue & Simonyan, ICLR 2019, arXiv 1809.11096): a network to find axes in."""

import re
from collections.abc import Callable, Mapping, Sequence
from statistics import mode
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets.pretrained import Pretrained
from axiswise.nets.published import check_dimensions, check_names, take_over
from axiswise.support.checks import check_range

_NORM_EPSILON = 1e-5
_SPECTRAL_EPSILON = 1e-6
_START = 4  # height and width that the linear layer makes
_KEYS_SHARE = 8  # attention compares an eighth of the channels


class BigGAN(Pretrained):
    """Class-conditional generator that takes latents at all depths.

    The latents are cut into as many equal parts as there are entries of `hidden`. The first part
    goes through a linear layer to 4 × 4 pixels. Each further one, beside an embedding of the class,
    gives the scales and shifts of both norms of one residual block, which doubles the size; one
    block ends in self-attention. The defaults are the published network for 128 × 128 pixels, with
    6 parts of 20 latents.

    Not for training: the norms use the stored means and variances, and each spectral norm one power
    iteration from the stored vector `u0`, also in train mode, and none of them is ever updated.
    Where a network is run more than once, `fold()` it first.

    Args:
        latent_dim: Number of latents, a multiple of `len(hidden)`.
        hidden: Channels at 4 × 4, 8 × 8, … pixels, two entries or more.
        channels: Channels of the images.
        classes: Number of classes.
        embedding: Width of the classes' embedding, which all norms share.
        attention: Height and width where the attention is, 8, 16, …, `size`; of 8 channels or more.
        folded: Whether the norms' constants are part of the weights, as after `fold()`.

    Attributes:
        size: Height and width of the images, 4 · 2^(len(hidden) − 1).
        image_range: Least and greatest value of an image, −1 and 1.

    Raises:
        ValueError: If a number is out of range, or does not fit `hidden`.

    Example:
        >>> import torch, axiswise as aw
        >>> generator = aw.nets.BigGAN(12, hidden=[8, 8, 4], classes=5, embedding=4, attention=8)
        >>> generator(torch.randn(2, 12), torch.tensor([0, 4])).shape
        torch.Size([2, 3, 16, 16])
    """

    image_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(
        self,
        latent_dim: int = 120,
        hidden: Sequence[int] = (1536, 1536, 768, 384, 192, 96),
        channels: int = 3,
        classes: int = 1000,
        embedding: int = 128,
        attention: int = 64,
        folded: bool = False,
    ) -> None:
        super().__init__()
        self.latent_dim, self.hidden, self.channels = latent_dim, list(hidden), channels
        self.classes, self.embedding = classes, embedding
        self.attention, self.folded = attention, folded
        self._check_arguments()
        self.size = _side(len(self.hidden) - 2)
        self._part = latent_dim // len(self.hidden)
        self._classes_searched: Sequence[int] = range(classes)

        self.shared = nn.Embedding(classes, embedding)
        self.linear = _linear(self._part, self.hidden[0] * _START**2, folded)
        self.blocks = nn.ModuleList(
            _Block(inputs, outputs, embedding + self._part, attention == _side(i), folded)
            for i, (inputs, outputs) in enumerate(zip(self.hidden, self.hidden[1:], strict=False))
        )
        self.norm = _Norm(self.hidden[-1])
        self.to_image = _convolution(self.hidden[-1], channels, 3, folded)

    @classmethod
    def from_published(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Load weights with the names of the authors' PyTorch code.

        Args:
            state_dict: Tensors named `shared.weight`, `linear.…`, `blocks.i.0.…`, `blocks.i.1.…`
                (the attention) and `output_layer.…`, as `torch.load(path, weights_only=True)` reads
                them from the published file. All sizes are read off them.

        Returns:
            The network, in the type of the weights, in eval mode, not folded.

        Raises:
            ValueError: On a missing, unknown or misshapen key, by name.
        """
        found = [re.match(r"blocks\.(\d+)\.([01])\.", key) for key in state_dict]
        places = [(int(match[1]), match[2]) for match in found if match]
        blocks = len({block for block, _ in places})
        attending = mode([block for block, kind in places if kind == "1"] or [blocks - 2])
        names = _published_names(blocks, attending) if blocks else {}
        check_names(state_dict, names)
        network = cls(**_published_sizes(state_dict, blocks), attention=_side(attending))
        return take_over(network, state_dict, names)

    @torch.no_grad()
    def fold(self) -> Self:
        """Work constants into the weights, in place, instead of computing with them in each pass.

        These are the spectral norms, the stored means and variances of the blocks' norms, and the
        upsampling before convolutions, which become transposed ones. Images stay the same up to
        rounding; `u0` and the other constants are removed.

        Returns:
            The network itself.
        """
        trained = self.shared.weight.requires_grad
        _fold(self)
        self.folded = True
        return self.train(self.training).requires_grad_(trained)

    @property
    def thirds(self) -> dict[str, slice]:
        """The latents' "coarse", "mid" and "fine" third: of 120 latents 0:40, 40:80 and 80:120.

        OroJaR's authors search each by itself (Wei et al. 2021, arXiv 2108.07668).
        """
        ends = [i * self.latent_dim // 3 for i in range(4)]
        return {name: slice(*ends[i : i + 2]) for i, name in enumerate(["coarse", "mid", "fine"])}

    @property
    def classes_searched(self) -> Sequence[int]:
        """The classes that `sample_conditioning` draws from: all, or those that were assigned.

        They are not saved. Assigning none, or one out of range, raises a ValueError.
        """
        return self._classes_searched

    @classes_searched.setter
    def classes_searched(self, classes: Sequence[int]) -> None:
        classes = list(classes)
        if not classes or not all(0 <= each < self.classes for each in classes):
            raise ValueError(
                f"classes_searched must be some of 0…{self.classes - 1}, got {classes}"
            )
        self._classes_searched = classes

    def sample_conditioning(
        self, z: Tensor, rng: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Random classes {"y": (batch,)} for latents, uniform over `classes_searched`."""
        among = torch.tensor(self.classes_searched)
        source = among.device if rng is None else rng.device
        drawn = torch.randint(len(among), (len(z),), generator=rng, device=source)
        return {"y": among[drawn.cpu()].to(z.device)}

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Images.

        Args:
            z: Latents, (batch, latent), floating, normal in training.
            y: Classes, (batch,), integers from 0.

        Returns:
            (batch, channels, size, size), in [−1, 1].

        Raises:
            TypeError: If z is not floating, or y not integer.
            ValueError: If z or y has another shape, or a class is out of range.
        """
        y = self._checked(z, y)
        parts = z.split(self._part, 1)
        return self._finish(self._pixels(parts[0]), self._norms(self.shared(y), parts[1:]))

    def generate(self, z: Tensor, y: Tensor) -> Tensor:
        """The images of `forward`, scaled to [0, 1]."""
        images: Tensor = self(z, y)
        return (images + 1) / 2

    def hold(self, z: Tensor, subspace: slice, y: Tensor) -> Callable[[Tensor], Tensor]:
        """The images as a function of some latents alone, the others fixed.

        What does not depend on these is computed here, once and without gradient: all before the
        first layer that takes them, the scales and shifts of other norms, and the shortcut of the
        first block that takes them.

        Args:
            z: Latents, (batch, latent), floating; its values in `subspace` are not used.
            subspace: The free latents, slice(start, stop).
            y: Classes, (batch,), integers from 0.

        Returns:
            A function of w, (batch, stop − start): the images of `forward` for z with w in place of
            the free latents.

        Raises:
            TypeError: As `forward`.
            ValueError: As `forward`, or if subspace has a step, is empty, or goes beyond z.
        """
        y, z = self._checked(z, y), z.detach()
        start, stop = _ends(subspace, self.latent_dim)
        first, last = (
            start // self._part,
            (stop - 1) // self._part,
        )  # of the parts with free latents
        begin, stack = max(first - 1, 0), self._stack  # part i goes into block i − 1
        before, after = z[:, first * self._part : start], z[:, stop : (last + 1) * self._part]
        with torch.no_grad():
            embedded, parts = self.shared(y), z.split(self._part, 1)
            held = self._norms(embedded, parts[1:])
            x = self._pixels(parts[0])
            for block, norms in zip(stack[:begin], held, strict=False):
                x = block(x, norms)
            shortcut = stack[begin].shortcut(x)

        def images(w: Tensor) -> Tensor:
            if w.shape != (len(z), stop - start):
                raise ValueError(
                    f"w must be (batch, stop − start) = ({len(z)}, {stop - start}), "
                    f"got {tuple(w.shape)}"
                )
            free = list(torch.cat([before, w, after], 1).split(self._part, 1))
            if first == 0:
                pixels = self._pixels(free.pop(0))
                return self._finish(pixels, self._norms(embedded, free) + held[last:])
            norms = self._norms(embedded, free, begin) + held[last:]
            return self._finish(x, norms, begin, shortcut)

        return images

    def _pixels(self, part: Tensor) -> Tensor:
        return self.linear(part).unflatten(1, (self.hidden[0], _START, _START))  # type: ignore[no-any-return]

    def _norms(self, embedded: Tensor, parts: Sequence[Tensor], begin: int = 0) -> list["_Norms"]:
        """Scales and shifts of the norms, for blocks from `begin` on."""
        given = [torch.cat([embedded, part], 1) for part in parts]
        return [block.norms(each) for block, each in zip(self._stack[begin:], given, strict=False)]

    def _finish(
        self, x: Tensor, norms: list["_Norms"], begin: int = 0, shortcut: Tensor | None = None
    ) -> Tensor:
        """Images from the input of block `begin`, and its shortcut's output if that is known."""
        for block, its in zip(self._stack[begin:], norms, strict=True):
            x, shortcut = block(x, its, shortcut), None
        images: Tensor = self.to_image(_normalized(x, self.norm()))
        return images.tanh()

    @property
    def _stack(self) -> list["_Block"]:
        return cast(list[_Block], list(self.blocks))

    def _check_arguments(self) -> None:
        check_range(self, "at least 1", "latent_dim", "channels", "classes", "embedding")
        if len(self.hidden) < 2 or min(self.hidden) < 1:
            raise ValueError(f"hidden must be two or more numbers ≥ 1, got {self.hidden}")
        if self.latent_dim % len(self.hidden):
            raise ValueError(
                f"latent_dim must be a multiple of {len(self.hidden)}, the entries of hidden, "
                f"got {self.latent_dim}"
            )
        widths = {_side(i): width for i, width in enumerate(self.hidden[1:])}
        places = [side for side, width in widths.items() if width >= _KEYS_SHARE]
        if self.attention not in places:
            raise ValueError(
                f"attention must be a size with {_KEYS_SHARE} channels or more, one of {places}, "
                f"got {self.attention}"
            )

    def _checked(self, z: Tensor, y: Tensor) -> Tensor:
        if not z.is_floating_point():
            raise TypeError(f"z must be floating, got {z.dtype}")
        if z.dim() != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"z must be (batch, {self.latent_dim}), got {tuple(z.shape)}")
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise TypeError(f"y must be integer classes, got {y.dtype}")
        if y.shape != z.shape[:1]:
            raise ValueError(f"y must be (batch,) = ({len(z)},), got {tuple(y.shape)}")
        if ((y < 0) | (y >= self.classes)).any():
            raise ValueError(
                f"y must be between 0 and {self.classes - 1}, got {int(y.min())} to {int(y.max())}"
            )
        return y.long()


# Scales and shifts of a block's two norms, (batch, 2 · channels) each: all scales, then all shifts.
_Norms = tuple[Tensor, Tensor]


class _Block(nn.Module):
    """Two convolutions between norms and ReLU, which double the size, beside a shortcut."""

    def __init__(
        self, inputs: int, outputs: int, conditions: int, attends: bool, folded: bool
    ) -> None:
        super().__init__()
        self.norm1 = _conditional_norm(conditions, inputs, folded)
        self.conv1 = _doubling_convolution(inputs, outputs, folded)
        self.norm2 = _conditional_norm(conditions, outputs, folded)
        self.conv2 = _convolution(outputs, outputs, 3, folded)
        self.shortcut = _convolution(inputs, outputs, 1, folded)
        self.attention = _Attention(outputs, folded) if attends else nn.Identity()

    def norms(self, given: Tensor) -> _Norms:
        return self.norm1(given), self.norm2(given)

    def forward(self, x: Tensor, norms: _Norms, shortcut: Tensor | None = None) -> Tensor:
        h = self.conv1(_normalized(x, norms[0]))
        h = self.conv2(_normalized(h, norms[1]))
        # Published the other way round; for a 1 × 1 convolution it is the same, at four times less.
        beside = F.interpolate(self.shortcut(x) if shortcut is None else shortcut, scale_factor=2)
        return self.attention(h + beside)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    """Self-attention (Zhang et al. 2019, arXiv 1805.08318); keys and values at half the size."""

    def __init__(self, channels: int, folded: bool) -> None:
        super().__init__()
        keys, values = channels // _KEYS_SHARE, channels // 2
        self.queries = _convolution(channels, keys, 1, folded, bias=False)
        self.keys = _convolution(channels, keys, 1, folded, bias=False)
        self.values = _convolution(channels, values, 1, folded, bias=False)
        self.out = _convolution(values, channels, 1, folded, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        queries = self.queries(x).flatten(2).transpose(1, 2)  # (batch, place, key)
        keys = F.max_pool2d(self.keys(x), 2).flatten(2)
        values = F.max_pool2d(self.values(x), 2).flatten(2)
        # In plain products, since fused attention has no forward-mode derivative; sample by sample,
        # since vmap copies the weights for each of its rows where products are batched.
        attended = [
            value @ (query @ key).softmax(1).T
            for query, key, value in zip(queries, keys, values, strict=True)
        ]
        out = self.out(torch.stack(attended).unflatten(2, x.shape[2:]))
        return torch.addcmul(x, self.gamma, out)


class _Norm(nn.Module):
    """Batch norm with stored mean and variance: one scale and shift for all."""

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self) -> Tensor:
        return _scale_and_shift(self.gain[None], self.bias[None], self.mean, self.var)


class _ConditionalNorm(nn.Module):
    """The same, with gain and bias linear in a condition."""

    mean: Tensor
    var: Tensor

    def __init__(self, conditions: int, channels: int) -> None:
        super().__init__()
        self.gain = _SpectralLinear(conditions, channels, bias=False)
        self.bias = _SpectralLinear(conditions, channels, bias=False)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, given: Tensor) -> Tensor:
        return _scale_and_shift(1 + self.gain(given), self.bias(given), self.mean, self.var)

    def folded(self) -> nn.Module:
        """The scale and shift are affine in the condition."""
        gain, bias = (_over_norm(each.weight, each.u0).T for each in (self.gain, self.bias))
        constant = torch.ones_like(self.mean)[None]
        offset = _scale_and_shift(constant, 0 * constant, self.mean, self.var)[0]
        weight = _scale_and_shift(gain, bias, self.mean, self.var).T
        layer = nn.Linear(self.gain.in_features, len(weight), device="meta")
        return _with(layer, weight, offset)


class _SpectralLinear(nn.Linear):
    """A linear layer whose weight is divided by its spectral norm."""

    u0: Tensor

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        _register_vectors(self, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, _over_norm(self.weight, self.u0), self.bias)

    def folded(self) -> nn.Module:
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, "meta")
        return _with(layer, _over_norm(self.weight, self.u0), self.bias)


class _SpectralConv2d(nn.Conv2d):
    """A convolution, of the same size, whose weight is divided by its spectral norm."""

    u0: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        _register_vectors(self, outputs)

    def forward(self, x: Tensor) -> Tensor:
        weight = _over_norm(self.weight, self.u0)
        return F.conv2d(x, weight, self.bias, padding=self.kernel_size[0] // 2)

    def folded(self) -> nn.Module:
        sizes = (self.in_channels, self.out_channels, self.kernel_size[0])
        layer = nn.Conv2d(*sizes, padding=sizes[2] // 2, bias=self.bias is not None, device="meta")
        return _with(layer, _over_norm(self.weight, self.u0), self.bias)


class _SpectralDoublingConv2d(_SpectralConv2d):
    """The same, of pixels that are repeated twice in height and width."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2))

    def folded(self) -> nn.Module:
        """In each direction, two of three taps meet the same pixel, so that they add up."""
        weight = _over_norm(self.weight, self.u0).transpose(0, 1)
        for axis in (2, 3):
            left, middle, right = weight.unbind(axis)
            weight = torch.stack([right, middle + right, left + middle, left], axis)
        sizes = (self.in_channels, self.out_channels, 4)
        layer = nn.ConvTranspose2d(*sizes, stride=2, padding=1, device="meta")
        return _with(layer, weight, self.bias)


def _linear(inputs: int, outputs: int, folded: bool) -> nn.Module:
    return nn.Linear(inputs, outputs) if folded else _SpectralLinear(inputs, outputs)


def _convolution(
    inputs: int, outputs: int, kernel: int, folded: bool, bias: bool = True
) -> nn.Module:
    if folded:
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    return _SpectralConv2d(inputs, outputs, kernel, bias)


def _doubling_convolution(inputs: int, outputs: int, folded: bool) -> nn.Module:
    if folded:
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    return _SpectralDoublingConv2d(inputs, outputs, 3)


def _conditional_norm(conditions: int, channels: int, folded: bool) -> nn.Module:
    return nn.Linear(conditions, 2 * channels) if folded else _ConditionalNorm(conditions, channels)


def _fold(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _SpectralLinear | _SpectralConv2d | _ConditionalNorm):
            setattr(module, name, child.folded())
        else:
            _fold(child)


def _with(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    layer.register_parameter("weight", nn.Parameter(weight.contiguous()))
    layer.register_parameter("bias", None if bias is None else nn.Parameter(bias))
    return layer


def _register_vectors(layer: nn.Module, outputs: int) -> None:
    """Buffers published beside each weight; `sv0`, a past singular value, is unused."""
    layer.register_buffer("u0", torch.randn(1, outputs))
    layer.register_buffer("sv0", torch.ones(1))


def _over_norm(weight: Tensor, u0: Tensor) -> Tensor:
    """The weight over its largest singular value (Miyato et al. 2018, arXiv 1802.05957)."""
    matrix = weight.flatten(1)
    v = F.normalize((u0 @ matrix).detach(), eps=_SPECTRAL_EPSILON)
    product = v @ matrix.T
    return weight / (product * F.normalize(product, eps=_SPECTRAL_EPSILON)).sum()


def _scale_and_shift(gain: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """(x − mean)/√(var + ε) · gain + bias as x · scale + shift, in one (rows, 2 · channels)."""
    scale = gain * (var + _NORM_EPSILON).rsqrt()
    return torch.cat([scale, bias - mean * scale], 1)


def _normalized(x: Tensor, norm: Tensor) -> Tensor:
    """ReLU of x · scale + shift."""
    scale, shift = norm[:, :, None, None].chunk(2, 1)
    return torch.addcmul(shift, x, scale).relu_()


def _side(block: int) -> int:
    """Height and width of a block's output."""
    return int(_START * 2 ** (block + 1))


def _ends(subspace: slice, latent_dim: int) -> tuple[int, int]:
    start = 0 if subspace.start is None else subspace.start
    stop = latent_dim if subspace.stop is None else subspace.stop
    if subspace.step not in (None, 1) or not 0 <= start < stop <= latent_dim:
        raise ValueError(
            f"subspace must be slice(start, stop) with 0 ≤ start < stop ≤ {latent_dim}, "
            f"got {subspace}"
        )
    return start, stop


def _published_sizes(state_dict: Mapping[str, Tensor], blocks: int) -> dict[str, Any]:
    """Arguments for the constructor; by majority, so that the odd key is refused."""

    def length(prefix: str, *parts: str) -> int:
        return mode(state_dict[prefix + part].numel() for part in parts)

    for key in ("linear.weight", "shared.weight"):
        check_dimensions(state_dict, key, 2)
    part = state_dict["linear.weight"].shape[1]
    classes, embedding = state_dict["shared.weight"].shape
    norms = [f"blocks.{i}.0.bn{j}" for i in range(blocks) for j in (1, 2)]
    linears = [state_dict[f"{norm}.{kind}.weight"] for norm in norms for kind in ("gain", "bias")]
    conditions = mode(weight.shape[-1:].numel() for weight in linears)
    if part + embedding != conditions:
        raise ValueError(
            "state_dict['linear.weight'] and state_dict['shared.weight'] must have "
            f"{conditions} columns together, as many as the norms', got {part} and {embedding}"
        )
    last = [state_dict[f"output_layer.2.{part}"] for part in ("weight", "bias", "u0")]
    outputs = [last[0].shape[:1].numel(), last[1].numel(), last[2].numel()]
    return {
        "latent_dim": part * (blocks + 1),
        "hidden": [
            *(length(norm, ".stored_mean", ".stored_var", ".gain.u0") for norm in norms[::2]),
            length("output_layer.0", ".stored_mean", ".stored_var", ".gain"),
        ],
        "channels": mode(outputs),
        "classes": classes,
        "embedding": embedding,
    }


def _published_names(blocks: int, attending: int) -> dict[str, str]:
    """Published names to ours."""
    there, here = f"blocks.{attending}.1", f"blocks.{attending}.attention"
    biased = {"linear": "linear", "output_layer.2": "to_image"}
    unbiased = {
        f"{there}.theta": f"{here}.queries",
        f"{there}.phi": f"{here}.keys",
        f"{there}.g": f"{here}.values",
        f"{there}.o": f"{here}.out",
    }
    norms = {"output_layer.0": "norm"}
    for i in range(blocks):
        for theirs, ours in (("conv1", "conv1"), ("conv2", "conv2"), ("conv_sc", "shortcut")):
            biased[f"blocks.{i}.0.{theirs}"] = f"blocks.{i}.{ours}"
        for j in (1, 2):
            norms[f"blocks.{i}.0.bn{j}"] = f"blocks.{i}.norm{j}"
            for kind in ("gain", "bias"):
                unbiased[f"blocks.{i}.0.bn{j}.{kind}"] = f"blocks.{i}.norm{j}.{kind}"
    names = {"shared.weight": "shared.weight", f"{there}.gamma": f"{here}.gamma"}
    names |= {f"output_layer.0.{part}": f"norm.{part}" for part in ("gain", "bias")}
    for theirs, ours in norms.items():
        names |= {f"{theirs}.stored_{part}": f"{ours}.{part}" for part in ("mean", "var")}
    for theirs, ours in (biased | unbiased).items():
        names |= {f"{theirs}.{part}": f"{ours}.{part}" for part in ("weight", "u0", "sv0")}
    return names | {f"{theirs}.bias": f"{ours}.bias" for theirs, ours in biased.items()}
