"""Where updates are computed."""

import torch

from langgraph_memskill.errors import ConfigError


def usable_device(name: torch.device | str) -> torch.device:
    """Look whether a device can be used.

    Args:
        name: "cpu", "cuda", "cuda:1" ...

    Raises:
        ConfigError: If torch knows no such device, or this machine has none.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        # A torch that was built without CUDA fails with an AssertionError.
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device={str(name)!r} cannot be used here ({reason}): take 'cpu', or a device that "
            "`memskill doctor` names"
        ) from error
    return device
