"""The theory lab: when naive training fails, when refinement helps, and by how much.

Needs numpy and scipy; figures need matplotlib, and the topic that trains a network needs torch. Worlds and estimators
are plain functions and frozen dataclasses; topics (`outgrow theory NAME`) put them together and draw.
"""

from outgrow.theory.decay import decay_curve, mean_rate, typical_rate
from outgrow.theory.deconvolution import Deconvolved, PriorEstimate, estimate_prior
from outgrow.theory.estimators import HullLeastSquares, Naive, Refined, RefinedStudent
from outgrow.theory.forward import concept_posterior, next_token
from outgrow.theory.hmm import HiddenMarkovWorld, make_ginc, sample_documents
from outgrow.theory.hull import project_to_hull, statistical_dimension
from outgrow.theory.phase import Advice, excess_grid, recommend
from outgrow.theory.regression import Risk, naive_excess_risk, naive_lower_bound, simulate
from outgrow.theory.world import RegressionWorld, orthonormal_world, posterior

__all__ = [
    "Advice",
    "Deconvolved",
    "HiddenMarkovWorld",
    "HullLeastSquares",
    "Naive",
    "PriorEstimate",
    "Refined",
    "RefinedStudent",
    "RegressionWorld",
    "Risk",
    "concept_posterior",
    "decay_curve",
    "estimate_prior",
    "excess_grid",
    "make_ginc",
    "mean_rate",
    "naive_excess_risk",
    "naive_lower_bound",
    "next_token",
    "orthonormal_world",
    "posterior",
    "project_to_hull",
    "recommend",
    "sample_documents",
    "simulate",
    "statistical_dimension",
    "typical_rate",
]
