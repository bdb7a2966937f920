"""The hardware survey of any network: what it does, what it costs here, and what it would cost elsewhere.

    from juggler.survey import Options, candidates, survey, write_survey
    found = survey(candidates(["all"], "3,224,224"), Options(time=False))
    write_survey(found, Path("survey"))

Every figure is an `Amount`, which says whether it was measured, counted, modelled, estimated or quoted.
"""

from juggler.lazy import renamed
from juggler.survey.amount import MEANINGS, ORIGINS, QUANTITIES, QUANTITY, Amount, Quantity
from juggler.survey.catalogue import CATALOGUE, Candidate, candidates
from juggler.survey.results import AtPrecision, Survey, Surveyed, WhatIf
from juggler.survey.run import Options, survey
from juggler.survey.store import to_csv, write_survey

__all__ = [
    "CATALOGUE",
    "MEANINGS",
    "ORIGINS",
    "QUANTITIES",
    "QUANTITY",
    "Amount",
    "AtPrecision",
    "Candidate",
    "Options",
    "Quantity",
    "Survey",
    "Surveyed",
    "WhatIf",
    "candidates",
    "survey",
    "to_csv",
    "write_survey",
]

__getattr__ = renamed(__name__, {"NotSurveyed": "juggler.nouns:Skipped"})
