"""Kinds of things that an experiment file names, and the built-in names of each.

A name maps to `module:attribute`. `@2` behind it is the revision of a built-in: raise it when its numbers change, so
that old artefacts are not found again. Two places are two implementations for different abilities: texts and choices.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """What every thing of a kind must be able to do."""

    abilities: tuple[str, ...] = ("__call__",)
    """Methods of which it has at least one. A registered function stands for the first."""
    protocol: str | None = None
    """`module:class` with the default members of a thing that has none of its own."""
    returns: tuple[str, ...] = ()
    """`module:class` of what each ability returns; `losses` is a tensor with one value per row."""
    passed: tuple[str, ...] = ()
    """Keyword-only arguments of functions that are not parameters, since callers pass them."""


_RECORDS = ("outgrow.labels:ChoiceVotes", "outgrow.labels:TextLabels", "outgrow.labels:TextLabels")
_TARGETS = ("outgrow.labels:ChoiceTargets", "outgrow.combine.combiner:CombinedTexts")
_REFINED = ("outgrow.refine.refinement:Refinement", "outgrow.refine.refinement:ChoiceRefinement")

KINDS: dict[str, Kind] = {
    "objective": Kind(protocol="outgrow.objectives.protocol:Objective", returns=("losses",)),
    "token_objective": Kind(protocol="outgrow.objectives.protocol:TokenObjective", returns=("losses",)),
    "preference": Kind(protocol="outgrow.objectives.protocol:PreferenceObjective", returns=("losses",)),
    "combiner": Kind(("choices", "texts"), "outgrow.combine.combiner:Combiner", _TARGETS),
    "refiner": Kind(("texts", "choices"), "outgrow.refine.refinement:Refiner", _REFINED, ("options", "seed")),
    "metric": Kind(),
    "features": Kind(("fit",), passed=("seed",)),
    "task": Kind(("read",), "outgrow.tasks.protocol:Task"),
    "supervisor": Kind(("vote", "write", "score"), "outgrow.supervisors.protocol:Supervisor", _RECORDS, ("seed",)),
    "model": Kind(("generate",), "outgrow.models.protocols:LanguageModel", ("builtins:list",)),
    "adapter": Kind(("wrap", "fit"), "outgrow.models.adapters:Adapter"),
    "executor": Kind(("open",), "outgrow.scale.executor:Executor"),
    "topic": Kind(),
    "labelling_function": Kind(),
}

BUILT_IN: dict[str, dict[str, str]] = {
    "objective": {
        "cross_entropy": "outgrow.objectives.cross_entropy:CrossEntropy",
        "confidence": "outgrow.objectives.confidence:Confidence@2",
        "evidential": "outgrow.objectives.evidential:Evidential",
        "bayesian": "outgrow.objectives.votes:Bayesian",
        "dirichlet_multinomial": "outgrow.objectives.votes:DirichletMultinomial",
        "gce": "outgrow.objectives.robust:GCE",
        "product": "outgrow.objectives.robust:Product",
        "bootstrap": "outgrow.objectives.robust:Bootstrap",
        "confidence_window": "outgrow.objectives.robust:ConfidenceWindow",
        "raven": "outgrow.objectives.votes:Raven",
    },
    "token_objective": {
        "cross_entropy": "outgrow.objectives.token_methods:TokenCrossEntropy",
        "evidential": "outgrow.objectives.token_methods:TokenEvidential",
        "bayesian": "outgrow.objectives.token_methods:TokenBayesian",
    },
    "preference": {
        "dpo": "outgrow.objectives.preference:DPO",
        "cdpo": "outgrow.objectives.preference:ConservativeDPO",
        "kto": "outgrow.objectives.preference:KTO",
    },
    "combiner": {
        "mean": "outgrow.combine.mean:Mean",
        "majority": "outgrow.combine.mean:Majority",
        "dawid_skene": "outgrow.combine.dawid_skene:DawidSkene@3",
        "dependence": "outgrow.combine.dependence:Dependence@3",
        "joint_decoding": "outgrow.combine.joint_decoding:JointDecoding",
    },
    "refiner": {
        "icl": "outgrow.refine.icl:ICL outgrow.refine.choice_icl:ChoiceICL",
        "infer_and_respond": "outgrow.refine.infer_and_respond:InferAndRespond@2",
        "infer_and_demonstrate": "outgrow.refine.infer_and_respond:InferAndDemonstrate@2",
        "ask_to_improve": "outgrow.refine.ask_to_improve:AskToImprove",
        "neighbours": "outgrow.refine.neighbours:Neighbours",
        "linear": "outgrow.refine.linear:Linear",
        "in_the_loop": "outgrow.refine.in_the_loop:InTheLoop@2",
    },
    "metric": {
        "exact_match": "outgrow.evaluate.accuracy:exact_match",
        "token_f1": "outgrow.evaluate.accuracy:token_f1",
        "rouge_l": "outgrow.evaluate.text_metrics:RougeL",
        "chrf": "outgrow.evaluate.text_metrics:ChrF",
        "final_answer": "outgrow.evaluate.text_metrics:FinalAnswer",
        "math_answer": "outgrow.evaluate.text_metrics:MathAnswer",
    },
    "features": {"tfidf": "outgrow.models.features:Tfidf"},
    "task": {
        "file": "outgrow.tasks.files:FileTask",
        "sciq": "outgrow.tasks.presets:SciQ",
        "cosmosqa": "outgrow.tasks.presets:CosmosQA",
        "truthfulqa": "outgrow.tasks.presets:TruthfulQA",
        "sentiment": "outgrow.tasks.presets:Sentiment",
        "facts": "outgrow.tasks.presets:Facts",
        "slurp": "outgrow.tasks.slots:Slurp",
        "snips": "outgrow.tasks.slots:Snips",
        "home": "outgrow.tasks.slots:Home",
        "persona": "outgrow.tasks.judged:Persona",
        "explanation": "outgrow.tasks.judged:Explanation",
        "gsm8k": "outgrow.tasks.judged:GSM8K",
        "math": "outgrow.tasks.judged:MATH",
    },
    "adapter": {
        "none": "outgrow.models.adapters:FullFineTuning@2",
        "lora": "outgrow.models.adapters:LoRA@3",
        "probe": "outgrow.train.probe:Probe@2",
    },
    "executor": {"local": "outgrow.scale.local:LocalExecutor", "ray": "outgrow.scale.ray:RayExecutor"},
    "topic": {
        "hmm": "outgrow.theory.topics.hmm:HmmTopic",
        "hmm_transformer": "outgrow.theory.topics.hmm_transformer:HmmTransformerTopic",
        "regression": "outgrow.theory.topics.regression:RegressionTopic",
        "decay": "outgrow.theory.topics.decay:DecayTopic",
        "hull": "outgrow.theory.topics.hull:HullTopic",
        "deconvolution": "outgrow.theory.topics.deconvolution:DeconvolutionTopic",
        "phase": "outgrow.theory.topics.phase:PhaseTopic",
        "transformer": "outgrow.theory.topics.transformer:TransformerTopic",
    },
    "supervisor": {  # by the key that its section of the experiment file has
        "server": "outgrow.supervisors.server:ServerSupervisor",
        "features": "outgrow.supervisors.features:FeaturesSupervisor",
        "model": "outgrow.supervisors.model:ModelSupervisor",
        "votes": "outgrow.supervisors.votes:VotesSupervisor",
        "texts": "outgrow.supervisors.given_texts:TextsSupervisor",
        "rules": "outgrow.supervisors.rules:RulesSupervisor",
        "function": "outgrow.supervisors.functions:FunctionSupervisor",
    },
    "model": {},  # a folder, a hub id or a server needs no name
    "labelling_function": {},  # the user's own
}
