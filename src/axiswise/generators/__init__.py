"""Generators: what they may offer, and how they are loaded by name."""

from axiswise.generators.loading import BIGGAN, CodeNeededError, load_generator
from axiswise.generators.protocol import (
    Holds,
    ImageGenerator,
    SamplesConditioning,
    SamplesLatents,
    device_of,
    draw,
    frozen,
    in_unit_range,
    latent_dim_of,
)

__all__ = [
    "BIGGAN",
    "CodeNeededError",
    "Holds",
    "ImageGenerator",
    "SamplesConditioning",
    "SamplesLatents",
    "device_of",
    "draw",
    "frozen",
    "in_unit_range",
    "latent_dim_of",
    "load_generator",
]
