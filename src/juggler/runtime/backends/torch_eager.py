"""PyTorch as it is, op by op."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from juggler.errors import ConfigError
from juggler.runtime.session import WORKSHOP, BackendStatus, Session, Source, status_of

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchEager:
    """Runs modules in inference mode, images in the channels-last layout that its CPU kernels prefer."""

    name = "torch_eager"
    takes: Literal["onnx", "module"] = "module"

    def status(self) -> BackendStatus:
        """Say whether torch is installed."""
        return status_of({"torch": "torch"}, WORKSHOP)

    def open(self, source: Source, *, threads: int | None) -> Session:
        """Open a session on a source's module."""
        if source.module is None:
            raise ConfigError("open torch_eager", "a source without a module", "Use open_session")
        from juggler.runtime.modules import TorchSession  # noqa: PLC0415  # torch only where it is needed

        return TorchSession(self.name, source, _channels_last(source.module), threads)


def _channels_last(module: nn.Module) -> nn.Module:
    """Lay out weights of 2-d convs, and the images that come in, with the channels last."""
    import torch  # noqa: PLC0415

    def lay_out(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(
            value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            for value in inputs
        )

    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.register_forward_pre_hook(lay_out)
    return module


BACKEND = TorchEager()
