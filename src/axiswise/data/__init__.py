"""Data sets: sources of images, some with known factors of variation."""

from axiswise.data.download import DownloadError
from axiswise.data.dsprites import DSprites
from axiswise.data.edges_shoes import EdgesShoes
from axiswise.data.factors import FactorData, ImageSource, check_factors, uniform_factors
from axiswise.data.image_folder import ImageFolder
from axiswise.data.sprites import Sprites
from axiswise.data.three_dots import ThreeDots

__all__ = [
    "DSprites",
    "DownloadError",
    "EdgesShoes",
    "FactorData",
    "ImageFolder",
    "ImageSource",
    "Sprites",
    "ThreeDots",
    "check_factors",
    "uniform_factors",
]
