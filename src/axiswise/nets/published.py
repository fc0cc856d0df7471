"""Weights that authors published: from their names to ours, with every mismatch named."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def check_names(state_dict: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Refuse weights whose names differ from the keys of `names`, published name → ours.

    Raises:
        ValueError: On missing or unknown names, or if `names` is empty.
    """
    missing, unknown = names.keys() - state_dict.keys(), state_dict.keys() - names.keys()
    if not names or missing or unknown:
        raise ValueError(
            "state_dict must have the published names: "
            f"missing {sorted(missing)}, unknown {sorted(unknown)}"
        )


def check_dimensions(state_dict: Mapping[str, Tensor], key: str, dimensions: int) -> None:
    """Refuse a weight, by its published name, of another number of dimensions."""
    if state_dict[key].dim() != dimensions:
        raise ValueError(
            f"state_dict[{key!r}] must have {dimensions} dimensions, "
            f"got {tuple(state_dict[key].shape)}"
        )


def take_over(
    network: Network,
    state_dict: Mapping[str, Tensor],
    names: Mapping[str, str],
    layout: Callable[[str, Tensor], Tensor] = lambda _, own: own,
) -> Network:
    """Load weights of checked names into a network, which takes their dtype; in eval mode.

    `layout` is a view of our weight in the layout of that with a published name.

    Raises:
        ValueError: On weights of another shape, by their published name.
    """
    network.to(next(iter(state_dict.values())).dtype)
    own = network.state_dict()
    views = {theirs: layout(theirs, own[ours]) for theirs, ours in names.items()}
    for theirs, view in views.items():
        if state_dict[theirs].shape != view.shape:
            raise ValueError(
                f"state_dict[{theirs!r}] must be {tuple(view.shape)}, "
                f"got {tuple(state_dict[theirs].shape)}"
            )
    for theirs, view in views.items():
        view.copy_(state_dict[theirs])
    return network.eval()
