"""What a student minimises: pure functions of logits and targets, and the named objectives a YAML file can choose."""

from __future__ import annotations

from outgrow.objectives.confidence import Confidence, class_offsets, confidence
from outgrow.objectives.cross_entropy import CrossEntropy, cross_entropy
from outgrow.objectives.evidential import Evidential, evidential
from outgrow.objectives.preference import (
    DPO,
    KTO,
    ConservativeDPO,
    dpo,
    kto,
    kto_reference_point,
    log_ratios,
    preference_margins,
)
from outgrow.objectives.protocol import (
    EvidentialObjective,
    Objective,
    PreferenceObjective,
    StepContext,
    TokenObjective,
    WeightMemory,
)
from outgrow.objectives.robust import (
    GCE,
    Bootstrap,
    ConfidenceWindow,
    Product,
    bootstrap,
    confidence_window,
    generalized_cross_entropy,
    product,
)
from outgrow.objectives.token_methods import TokenBayesian, TokenCrossEntropy, TokenEvidential
from outgrow.objectives.tokens import token_divergence, token_evidential
from outgrow.objectives.votes import Bayesian, DirichletMultinomial, Raven, bayesian, dirichlet_multinomial

__all__ = [
    "DPO",
    "GCE",
    "KTO",
    "Bayesian",
    "Bootstrap",
    "Confidence",
    "ConfidenceWindow",
    "ConservativeDPO",
    "CrossEntropy",
    "DirichletMultinomial",
    "Evidential",
    "EvidentialObjective",
    "Objective",
    "PreferenceObjective",
    "Product",
    "Raven",
    "StepContext",
    "TokenBayesian",
    "TokenCrossEntropy",
    "TokenEvidential",
    "TokenObjective",
    "WeightMemory",
    "bayesian",
    "bootstrap",
    "class_offsets",
    "confidence",
    "confidence_window",
    "cross_entropy",
    "dirichlet_multinomial",
    "dpo",
    "evidential",
    "generalized_cross_entropy",
    "kto",
    "kto_reference_point",
    "log_ratios",
    "preference_margins",
    "product",
    "token_divergence",
    "token_evidential",
]
