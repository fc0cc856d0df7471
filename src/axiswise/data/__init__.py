"""Data sets: sources of images, some with known factors of variation."""

from axiswise.data.cars3d import Cars3D
from axiswise.data.clevr import Clevr
from axiswise.data.download import DownloadError
from axiswise.data.dsprites import DSprites
from axiswise.data.edges_shoes import EdgesShoes
from axiswise.data.factors import FactorData, ImageSource, check_factors, uniform_factors
from axiswise.data.family import data_set
from axiswise.data.grid import Grid
from axiswise.data.hugging_face import HuggingFaceImages
from axiswise.data.image_folder import ImageFolder
from axiswise.data.mpi3d import MPI3D
from axiswise.data.mpi3d_multi import MPI3DMulti
from axiswise.data.natural_patches import NaturalPatches
from axiswise.data.npz_images import NpzFactorData, NpzImages
from axiswise.data.shapes3d import Shapes3D
from axiswise.data.small_norb import SmallNORB
from axiswise.data.sprites import Sprites
from axiswise.data.three_dots import ThreeDots

__all__ = [
    "MPI3D",
    "Cars3D",
    "Clevr",
    "DSprites",
    "DownloadError",
    "EdgesShoes",
    "FactorData",
    "Grid",
    "HuggingFaceImages",
    "ImageFolder",
    "ImageSource",
    "MPI3DMulti",
    "NaturalPatches",
    "NpzFactorData",
    "NpzImages",
    "Shapes3D",
    "SmallNORB",
    "Sprites",
    "ThreeDots",
    "check_factors",
    "data_set",
    "uniform_factors",
]
