"""Take a copy of the user's network that may be traced and rewritten, or say why there can be none.

Nothing after this touches the user's module. What torch hangs on a module to compute a weight anew at every
call (weight norm, spectral norm, pruning, any parametrization) is computed once and left out of the copy: in
evaluation mode the weight is a constant.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from juggler.errors import ConfigError, Refused

Example = Tensor | tuple[Tensor, ...]


def evaluation_copy(model: nn.Module) -> nn.Module:
    """Return a copy with its weights worked out; the model itself is not changed.

    Raises:
        ConfigError: it is no module.
        Refused: it is in training mode, compiled by torch.jit, lazy, on no one device, or carries hooks.
    """
    check_network(model)
    # Weight norm keeps a tensor that is computed, not stored: torch refuses to copy what has a history.
    computed = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        network: nn.Module = copy.deepcopy(model, computed)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise Refused(
            "copy the network",
            f"{type(model).__name__} holds what cannot be copied ({error})",
            "Keep files, locks and generators out of the module",
        ) from error
    for module in network.modules():
        module._backward_hooks.clear()  # they compute nothing on the way forward
        module._backward_pre_hooks.clear()
    with torch.no_grad():
        for module in list(network.modules()):
            _settle(module)
    _check_hooks(network)
    return network


def check_network(model: nn.Module) -> None:
    """Refuse by name what cannot be followed.

    Raises:
        ConfigError: it is no module.
        Refused: it is in training mode, compiled by torch.jit, quantised, lazy, or on no one device.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError("trace the network", f"a {type(model).__name__}", "Pass a torch.nn.Module")
    scripted = [name or "the model itself" for name, m in model.named_modules() if _is_scripted(m)]
    if scripted:
        raise Refused(
            "trace the network",
            f"a torch.jit module ({', '.join(scripted[:3])}) holds no Python that could be followed",
            "Pass the module that it was made from",
        )
    quantised = [f"{name or 'the model itself'} ({type(m).__name__})" for name, m in _quantised(model)]
    if quantised:
        raise Refused(
            "trace the network",
            f"quantised modules, whose packed weights the algebra cannot read: {', '.join(quantised[:3])}",
            "Flatten the network before it is quantised, and quantise the flat one: "
            "juggler.runtime.quantize_certified",
        )
    training = [name or "the model itself" for name, m in model.named_modules() if m.training]
    if training:
        raise Refused(
            "flatten the network",
            f"{len(training)} of its modules are in training mode ({', '.join(training[:3])}, ...): batch "
            "norm would use the statistics of the batch, and no flat network computes that",
            "Call model.eval() first",
        )
    lazy = [name for name, m in model.named_modules() if _is_unfinished(m)]
    if lazy:
        raise Refused(
            "trace the network",
            f"lazy modules that do not know their sizes yet: {', '.join(lazy[:3])}",
            "Run the network once on an input",
        )
    devices = {t.device.type: name for name, t in (*model.named_parameters(), *model.named_buffers())}
    if "meta" in devices:
        raise Refused(
            "trace the network",
            f"{devices['meta']} is on the device meta, which holds shapes and no values",
            "Load the weights: model.to_empty(device='cpu'), then load_state_dict",
        )
    if len(devices) > 1:
        raise Refused(
            "trace the network",
            "its weights are on several devices: " + ", ".join(f"{n} on {d}" for d, n in devices.items()),
            "Bring them to one: model.cpu()",
        )


def _is_scripted(module: nn.Module) -> bool:
    return any(c.__module__.startswith("torch.jit") for c in type(module).__mro__)


def _quantised(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of torch's quantised namespaces, and those that hold quantised tensors."""
    for name, module in model.named_modules():
        tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        names = type(module).__module__.split(".")
        if ("quantized" in names and names[0] == "torch") or any(t.is_quantized for t in tensors):
            yield name, module


def _is_unfinished(module: nn.Module) -> bool:
    return isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()


def _settle(module: nn.Module) -> None:
    """Compute what is computed anew at every call, once."""
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, WeightNorm):
            remove_weight_norm(module, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]
    if parametrize.is_parametrized(module):
        # Not torch's own remove_parametrizations: it mends the class, and that is the user's module's too.
        names = [name for name, _ in module.get_submodule("parametrizations").named_children()]
        values = {name: getattr(module, name).detach().clone() for name in names}
        del module._modules["parametrizations"]
        module.__class__ = type(module).__bases__[0]
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value, requires_grad=False))


def _check_hooks(network: nn.Module) -> None:
    hooked = [
        f"{name or 'the model itself'} ({getattr(hook, '__qualname__', type(hook).__name__)})"
        for name, module in network.named_modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    if hooked:
        raise Refused(
            "trace the network",
            f"modules that carry hooks: {', '.join(hooked[:3])}; a hook may change what is computed",
            "Remove them (the handle that registering gave has remove()), and register them on the flat "
            "network",
        )


def inputs_of(network: nn.Module, example: Example) -> tuple[Tensor, ...]:
    """Return the example as a tuple of tensors, held against the network.

    Raises:
        ConfigError: it is neither a tensor nor a tuple of tensors.
        Refused: it is on another device than the network.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    wrong = [type(tensor).__name__ for tensor in inputs if not isinstance(tensor, Tensor)]
    if wrong or not inputs:
        raise ConfigError(
            "flatten the network",
            f"the example is a {type(example).__name__}" + (f" of {', '.join(wrong)}" if wrong else ""),
            "Pass one input, torch.randn(1, 3, 224, 224), or a tuple with a tensor for each input",
        )
    devices = {tensor.device for tensor in (*network.parameters(), *network.buffers())}
    strangers = {tensor.device for tensor in inputs} - devices
    if devices and strangers:
        raise Refused(
            "run the network on the example",
            f"the example is on {strangers.pop()} and the weights are on {devices.pop()}",
            "Bring both to one device, for instance model.cpu() and example.cpu()",
        )
    return inputs


def plain(value: Any) -> Any:
    """Return what a forward gave as tuples, lists and dicts: result classes become dicts without their Nones.

    torch.fx knows no other containers, and neither does anything that runs a flat network.
    """
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, tuple):
        return tuple(plain(inner) for inner in value)
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value
