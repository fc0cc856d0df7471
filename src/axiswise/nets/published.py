"""Weights that authors published: from their names to ours, with every mismatch named."""

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def check_names(state_dict: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Refuse weights that have other names than the published ones.

    Args:
        state_dict: The weights.
        names: Published names to ours; empty if the weights suggest no network at all.

    Raises:
        ValueError: On a missing or unknown name, or if there are none.
    """
    missing, unknown = names.keys() - state_dict.keys(), state_dict.keys() - names.keys()
    if not names or missing or unknown:
        raise ValueError(
            "state_dict must have the published names: "
            f"missing {sorted(missing)}, unknown {sorted(unknown)}"
        )


def check_dimensions(state_dict: Mapping[str, Tensor], key: str, dimensions: int) -> None:
    """Refuse a weight that sizes cannot be read off.

    Args:
        state_dict: The weights.
        key: The published name of one.
        dimensions: How many it must have.

    Raises:
        ValueError: If it has another number of dimensions.
    """
    if state_dict[key].dim() != dimensions:
        raise ValueError(
            f"state_dict[{key!r}] must have {dimensions} dimensions, "
            f"got {tuple(state_dict[key].shape)}"
        )


def take_over(
    network: Network, state_dict: Mapping[str, Tensor], names: Mapping[str, str]
) -> Network:
    """Give a network weights whose names `check_names` found right.

    Args:
        network: A network of the weights' sizes; it takes on their type.
        state_dict: The weights.
        names: Published names to ours.

    Returns:
        The network, in eval mode.

    Raises:
        ValueError: On weights of another shape, by their published name.
    """
    own = network.state_dict()
    for theirs, ours in names.items():
        if state_dict[theirs].shape != own[ours].shape:
            raise ValueError(
                f"state_dict[{theirs!r}] must be {tuple(own[ours].shape)}, "
                f"got {tuple(state_dict[theirs].shape)}"
            )
    network.to(next(iter(state_dict.values())).dtype)
    network.load_state_dict({names[key]: value for key, value in state_dict.items()})
    return network.eval()
