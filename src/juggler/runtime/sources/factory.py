"""`package.module:factory`: a network made by the user's own code, which is run for it."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from juggler.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

_SOURCE = re.compile(
    r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*(\.[^\W\d]\w*)*)(?P<call>\(.*\))?", re.DOTALL
)
EXAMPLE = "Write it as package.module:factory, or package.module:factory(width=32, kind='small')"


def is_factory(source: str) -> bool:
    """Say whether a source is written as a factory rather than as a file or a name."""
    return bool(re.match(r"[^\W\d][\w.]*:[^\\/]", source))


def from_factory(source: str) -> nn.Module:
    """Import the module, call the factory, and return the network in evaluation mode.

    This runs code of the user's own: what the module does when it is imported, and the factory. The module
    is looked for in the current directory first. The factory is called without arguments, or with those in
    the parentheses, which are literals and are never evaluated.

    Raises:
        ConfigError: it is written otherwise, is not there, raised, or gave no network.
    """
    match = _SOURCE.fullmatch(source)
    request = f"open {source}"
    if match is None:
        raise ConfigError(request, "it is no module and a factory in it", EXAMPLE)
    options = _options(request, match["call"] or "()")
    from torch import nn  # noqa: PLC0415  # torch only where it is needed

    with _current_directory():
        network = _attribute(request, match["module"], match["name"])
        if not isinstance(network, nn.Module):
            if not callable(network):
                raise ConfigError(
                    request, f"{match['name']} is a {type(network).__name__}, which cannot be called", EXAMPLE
                )
            network = _run(request, match["name"], lambda: network(**options))
    if not isinstance(network, nn.Module):
        raise ConfigError(
            request,
            f"it gave a {type(network).__name__}, no torch.nn.Module",
            "Let the factory return the network",
        )
    return network.eval()


def _options(request: str, call: str) -> dict[str, Any]:
    """Return the arguments in the parentheses: names with literal values."""
    try:
        tree = ast.parse(f"f{call}", mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ConfigError(request, f"its arguments cannot be read ({error})", EXAMPLE) from error
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.args:
        raise ConfigError(request, "its arguments have no names", EXAMPLE)
    options = {}
    for argument in tree.keywords:
        if argument.arg is None:
            raise ConfigError(request, "its arguments have no names", EXAMPLE)
        try:
            options[argument.arg] = ast.literal_eval(argument.value)
        except (ValueError, TypeError, SyntaxError, RecursionError) as error:
            raise ConfigError(
                request, f"{argument.arg}={ast.unparse(argument.value)} is no literal", EXAMPLE
            ) from error
    return options


def _attribute(request: str, module: str, name: str) -> Any:
    try:
        value: Any = _run(request, f"importing {module}", lambda: importlib.import_module(module))
    except ConfigError as error:
        missing = (
            getattr(error.__cause__, "name", None)
            if isinstance(error.__cause__, ModuleNotFoundError)
            else None
        )
        if missing and (module == missing or module.startswith(f"{missing}.")):
            raise ConfigError(
                request,
                f"there is no module {missing}",
                f"Run it where {missing} lies, or install its package; looked in {Path.cwd()} first",
            ) from error.__cause__
        raise
    for part in name.split("."):
        if not hasattr(value, part):
            raise ConfigError(
                request,
                f"{module} has no {name}",
                f"It has: {', '.join(_public(value)) or 'nothing to call'}",
            )
        value = getattr(value, part)
    return value


def _public(value: Any) -> list[str]:
    """Return the names of what could be called, those of the module's own first."""
    home = getattr(value, "__name__", "")
    names = [name for name, held in vars(value).items() if callable(held) and not name.startswith("_")]
    return sorted(names, key=lambda name: getattr(getattr(value, name), "__module__", "") != home)[:12]


def _run(request: str, what: str, call: Callable[[], Any]) -> Any:
    """Run code of the user's own; whatever it raises is told in one line."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        line = (str(error).strip() or "no text").splitlines()[0][:200]
        raise ConfigError(
            request, f"{what} raised {type(error).__name__}: {line}", "Call it by yourself in Python first"
        ) from error


@contextmanager
def _current_directory() -> Iterator[None]:
    """Let modules of the current directory be found: a program that is installed does not look there."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
