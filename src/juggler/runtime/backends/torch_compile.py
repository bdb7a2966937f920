"""PyTorch compiled by TorchInductor; it writes C++, so it needs a C++ compiler."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from juggler.errors import ConfigError
from juggler.extras import install_command
from juggler.packages import BackendStatus, status_of
from juggler.runtime.precision import FLOAT32, require_precision, torch_precisions
from juggler.runtime.session import Session, Source

if TYPE_CHECKING:
    from torch import Tensor

# Sessions share their code, and Dynamo counts compilations by code: after 8 of them it would run the ninth
# network uncompiled, with a warning only.
MANY: dict[str, Any] = {"recompile_limit": 10_000, "accumulated_recompile_limit": 10_000}


class TorchCompile:
    """Runs modules compiled with frozen weights: one graph for batch 1, one for every other batch."""

    name = "torch_compile"
    takes: Literal["onnx", "module"] = "module"

    def status(self) -> BackendStatus:
        """Say whether torch, a C++ compiler and Python's headers are there; nothing is compiled."""
        status = status_of({"torch": "torch"}, install_command("train"))
        if not status.available:
            return status
        compiler = os.environ.get("CXX", "g++")  # what TorchInductor itself looks for
        if shutil.which(compiler.split()[0] if compiler.strip() else "g++") is None:
            clang = shutil.which("clang++")
            remedy = f"export CXX={clang}" if clang else "apt-get install g++ (or your system's way)"
            return BackendStatus(False, status.version, f"a C++ compiler ({compiler} is not found)", remedy)
        header = Path(sysconfig.get_paths()["include"]) / "Python.h"
        if not header.is_file():
            remedy = "apt-get install python3-dev (or your system's way)"
            return BackendStatus(False, status.version, f"Python's C headers ({header})", remedy)
        return status

    def precisions(self) -> tuple[str, ...]:
        """Name float32, and bfloat16 where torch has kernels for it on this CPU."""
        return torch_precisions() if self.status().available else ()

    def open(self, source: Source, *, threads: int | None, precision: str = FLOAT32) -> Session:
        """Open a session; the network is compiled by its first run at batch 1 and at another batch.

        Raises:
            Unavailable: it does not have that precision on this machine.
        """
        if source.module is None:
            raise ConfigError("open torch_compile", "a source without a module", "Use open_session")
        require_precision(self, precision, source)
        import torch  # noqa: PLC0415  # torch only where it is needed
        from torch._dynamo import config as dynamo  # noqa: PLC0415
        from torch._inductor import config as inductor  # noqa: PLC0415

        from juggler.runtime.modules import TorchSession, in_precision  # noqa: PLC0415

        # In this process: a pool of compiling processes would outlive the session.
        options: dict[str, Any] = {"freezing": True, "compile_threads": 1}
        module = in_precision(source.module, precision)
        compiled = torch.compile(module, dynamic=False, options=options)
        seen: set[tuple[torch.Size, ...]] = set()

        def forward(*inputs: Tensor) -> Any:
            shapes = tuple(value.shape for value in inputs)
            if shapes in seen:
                return compiled(*inputs)
            if inputs[0].shape[0] > 1:
                for value in inputs:
                    torch._dynamo.maybe_mark_dynamic(value, 0)
            # As an option alone it comes too late: Dynamo asks the process whether weights are to be frozen
            # when it traces, and hands them over as inputs otherwise. Without it a flat network of depth 50
            # takes 20 ms and not 14: no weight is packed, no ReLU fused.
            with inductor.patch(freezing=True), dynamo.patch(**MANY):
                result = compiled(*inputs)
            seen.add(shapes)
            return result

        return TorchSession(self.name, source, forward, threads)


BACKEND = TorchCompile()
