"""What `juggler survey` does with what it is asked: options from words, and the files that it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from juggler.errors import ConfigError

if TYPE_CHECKING:
    from juggler.cost.hardware.hierarchy import Hierarchy
    from juggler.survey import Options, Survey


def options_of(
    *,
    budget: int,
    precision: str,
    device: str,
    no_time: bool,
    rounds: int,
    backend: str,
    threads: int | None,
    pictures: Path | None,
    sample: int | None,
    weights: Path | None,
) -> Options:
    """Return the options of a survey, checked before anything is opened.

    Raises:
        ConfigError: one of them cannot work.
        DataError: the folder holds no pictures by class.
    """
    from juggler.survey import Options  # noqa: PLC0415  # heavy

    if sample is not None and pictures is None:
        raise ConfigError("take a sample of the pictures", "no pictures", "Give --pictures DIR too")
    if weights is not None and not weights.is_dir():
        raise ConfigError(f"read weights from {weights}", "it is no folder", "Name a folder of weights")
    folder = None
    if pictures is not None:
        from juggler.runtime.sources.picture_folder import picture_folder  # noqa: PLC0415

        folder = picture_folder(pictures, sample)
    return Options(
        budget=budget,
        bits=bits_of(precision),
        device=device_of(device),
        time=not no_time,
        backend=backend,
        threads=threads,
        rounds=rounds,
        pictures=folder,
        weights=weights,
    )


def bits_of(text: str) -> tuple[int, ...]:
    """Return `8,16,32` as widths, each once and rising.

    Raises:
        ConfigError: it is something else.
    """
    try:
        bits = {int(part) for part in text.replace(" ", ",").split(",") if part}
    except ValueError:
        bits = set()
    if not bits or min(bits) < 1:
        raise ConfigError("read the precisions", repr(text), "Give bits from 1 up, such as 8,16,32")
    return tuple(sorted(bits))


def device_of(name: str) -> Hierarchy:
    """Return a device by its name, or by the path of its TOML file.

    Raises:
        ConfigError: there is none, or the file describes none.
    """
    from juggler.cost.hardware.hierarchy import device, read_hierarchy  # noqa: PLC0415

    return read_hierarchy(name) if Path(name).suffix == ".toml" else device(name)


def written(survey: Survey, folder: Path) -> tuple[Path, ...]:
    """Write the page, the pictures, CSV and JSON, each whole or not at all; return the paths.

    Raises:
        ConfigError: nothing can be written there.
    """
    from juggler.report.survey import page as survey_page  # noqa: PLC0415
    from juggler.survey import write_survey  # noqa: PLC0415

    page = survey_page.write_survey(survey, folder)
    return (page, *write_survey(survey, folder), folder / survey_page.FIGURES)
