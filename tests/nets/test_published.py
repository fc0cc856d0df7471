"""Published weights: taken over under our names, or refused with the name that is wrong."""

import pytest
import torch
from torch import nn

from axiswise.nets.published import check_dimensions, check_names, take_over

NAMES = {"fc.w": "weight", "fc.b": "bias"}
WEIGHTS = {"fc.w": torch.ones(3, 2, dtype=torch.float64), "fc.b": torch.arange(3.0).double()}


def test_a_network_takes_over_values_and_type_in_eval_mode() -> None:
    check_names(WEIGHTS, NAMES)
    network = take_over(nn.Linear(2, 3), WEIGHTS, NAMES)
    assert torch.equal(network.weight, WEIGHTS["fc.w"])
    assert torch.equal(network.bias, WEIGHTS["fc.b"])
    assert not network.training


def test_missing_and_unknown_names_are_both_listed() -> None:
    with pytest.raises(ValueError, match=r"missing \['fc\.b'\], unknown \['fc\.c'\]"):
        check_names({"fc.w": WEIGHTS["fc.w"], "fc.c": WEIGHTS["fc.b"]}, NAMES)


def test_weights_that_suggest_no_network_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown \['fc\.b', 'fc\.w'\]"):
        check_names(WEIGHTS, {})


def test_a_weight_of_another_shape_is_refused_by_its_published_name() -> None:
    with pytest.raises(ValueError, match=r"state_dict\['fc\.w'\] must be \(4, 2\), got \(3, 2\)"):
        take_over(nn.Linear(2, 4), WEIGHTS, NAMES)


def test_a_weight_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'fc\.b'\] must have 2 dimensions, got \(3,\)"):
        check_dimensions(WEIGHTS, "fc.b", 2)
