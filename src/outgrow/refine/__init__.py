"""Label refinement: the strong model labels the rows again before it is trained on them."""

from __future__ import annotations

from outgrow.refine.ask_to_improve import AskToImprove
from outgrow.refine.audit import TextAudit
from outgrow.refine.choice_audit import ChoiceAudit
from outgrow.refine.choice_icl import ChoiceICL
from outgrow.refine.icl import ICL
from outgrow.refine.in_the_loop import InTheLoop
from outgrow.refine.infer_and_respond import InferAndDemonstrate, InferAndRespond
from outgrow.refine.linear import Linear
from outgrow.refine.neighbours import Neighbours
from outgrow.refine.refinement import ChoiceRefinement, Refinement, Refiner

__all__ = [
    "ICL",
    "AskToImprove",
    "ChoiceAudit",
    "ChoiceICL",
    "ChoiceRefinement",
    "InTheLoop",
    "InferAndDemonstrate",
    "InferAndRespond",
    "Linear",
    "Neighbours",
    "Refinement",
    "Refiner",
    "TextAudit",
]
