"""Rules of listening, scripted and trained, for worlds that host their learners: classroom, society and collective."""

from ..registration import PolicySpec
from .rule import Rule, Talk

__all__ = ["RULES", "Rule", "Talk"]

_RULES = {
    "listen_nobody": ("weights:Nobody", "learn from labels alone: the control of every other rule"),
    "listen_random": ("weights:RandomSource", "one random source at each step"),
    "mean": ("weights:Mean", "the mean of all sources heard"),
    "most_confident_slice": ("weights:MostConfidentSlice", "the source most confident on the slice"),
    "most_confident_sample": ("weights:MostConfidentSample", "row by row the most confident source"),
    "best_card": ("weights:BestCard", "the source with the best report card"),
    "agreement": ("weights:Agreement", "the source that agrees most with the others and oneself"),
    "drop_most_confident": ("weights:DropMostConfident", "the mean without the most confident source"),
    "median": ("robust:CoordinateMedian", "the coordinate-wise median, renormalised"),
    "trimmed_mean": ("robust:TrimmedMean", "the mean without each coordinate's largest and smallest"),
    "krum": ("robust:Krum", "the source closest to its nearest neighbours (Blanchard et al., 2017)"),
    "reputation_self": ("reliability:ReputationSelf", "weights by running agreement with oneself"),
    "reputation_class": ("reliability:ReputationClass", "weights by running agreement with the class"),
    "one_coin": ("reliability:OneCoin", "online EM with one accuracy for each source"),
    "dawid_skene": ("reliability:DawidSkene", "online EM with a confusion matrix for each source"),
    "lowest_energy": (
        "energy:LowestEnergy",
        "row by row the source of the lowest energy, below one's own; where energies cross",
    ),
    "composite": ("composite:Composite", "hand-tuned: confidence by row, running trust, no braggarts"),
    "listen_two_phase": ("weights:TwoPhase", "first the teacher, then the source with the best report card"),
    "even_two": (
        "even:EvenTwo",
        "ask at an even pace, imitate the best report card if it beats one's own",
    ),
    "even_trust": ("even:EvenTrust", "the same among sources that agree with oneself"),
    "oracle_mean": ("oracles:OracleMean", "knows the liars: the mean of the honest"),
    "oracle_expert": ("oracles:OracleExpert", "knows everything: row by row the honest expert"),
}

RULES = tuple(
    PolicySpec(name, f"studyhall.policies.listening.{where}", summary)
    for name, (where, summary) in _RULES.items()
)
"""The rules by name, to be registered."""
