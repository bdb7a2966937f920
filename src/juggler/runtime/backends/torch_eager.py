"""PyTorch as it is, op by op."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from juggler.errors import ConfigError
from juggler.extras import install_command
from juggler.packages import BackendStatus, status_of
from juggler.runtime.precision import FLOAT32, require_precision, torch_precisions
from juggler.runtime.session import Session, Source

if TYPE_CHECKING:
    from torch import Tensor, nn

    from juggler.runtime.modules import Forward


class TorchEager:
    """Runs modules in inference mode, images in the channels-last layout that its CPU kernels prefer."""

    name = "torch_eager"
    takes: Literal["onnx", "module"] = "module"

    def status(self) -> BackendStatus:
        """Say whether torch is installed."""
        return status_of({"torch": "torch"}, install_command("train"))

    def precisions(self) -> tuple[str, ...]:
        """Name float32, and bfloat16 where torch has kernels for it on this CPU."""
        return torch_precisions() if self.status().available else ()

    def open(self, source: Source, *, threads: int | None, precision: str = FLOAT32) -> Session:
        """Open a session on a source's module.

        Raises:
            Unavailable: it does not have that precision on this machine.
        """
        if source.module is None:
            raise ConfigError("open torch_eager", "a source without a module", "Use open_session")
        require_precision(self, precision, source)
        from juggler.runtime.modules import TorchSession, in_precision  # noqa: PLC0415

        module = in_precision(source.module, precision)
        return TorchSession(self.name, source, _channels_last(module), threads)


def _channels_last(module: nn.Module) -> Forward:
    """Lay out weights of 2-d convs, and the images that come in, with the channels last."""
    import torch  # noqa: PLC0415  # torch only where it is needed

    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(*inputs: Tensor) -> Any:
        # Around the module and not a hook in it: other backends share the source's module.
        return module(
            *(
                value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
                for value in inputs
            )
        )

    return forward


BACKEND = TorchEager()
