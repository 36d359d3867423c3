"""Policies: who acts in a world, on any device."""

from ..learners import MLP, Lesson, Population
from .classroom import Protocol, Students
from .listening import RULES, Rule, Talk
from .policy import MadeInReset, Policy, RandomPolicy
from .registration import PolicySpec, make_policy, register_policy, registry

for _spec in (
    PolicySpec("random", "studyhall.policies.policy:RandomPolicy", "random distributions and coins"),
    PolicySpec(
        "classroom",
        "studyhall.policies.classroom:classroom",
        "the documented classroom: a teacher's budget, then the best student teaches",
    ),
    PolicySpec(
        "two_phase",
        "studyhall.policies.classroom.protocols:TwoPhase",
        "first the teacher, then the best student",
    ),
    PolicySpec("mutual", "studyhall.policies.classroom.protocols:Mutual", "everyone learns from everyone"),
    PolicySpec(
        "mean_teacher",
        "studyhall.policies.classroom.protocols:MeanTeacher",
        "everyone learns from everyone's moving average",
    ),
    PolicySpec(
        "gossip", "studyhall.policies.classroom.protocols:Gossip", "everyone learns from one random peer"
    ),
    PolicySpec(
        "snapshot_ensemble",
        "studyhall.policies.classroom.protocols:SnapshotEnsemble",
        "labels first; then everyone imitates the class as it was when they ran out",
        {"temperature": 0.5},
    ),
    PolicySpec(
        "isolated",
        "studyhall.policies.classroom.protocols:LabelsOnly",
        "nobody listens to anybody; in a world of mode 'isolated' each asks from its own purse",
    ),
    PolicySpec(
        "stop_at_budget",
        "studyhall.policies.classroom.protocols:LabelsOnly",
        "the same students in an open world: learn from labels, then stop; the control of every peer phase",
    ),
    PolicySpec(
        "minicomo",
        "studyhall.policies.messages.painters:MiniCoMoPolicy",
        "the documented split-image autoencoder, which talks; to be trained",
    ),
    PolicySpec(
        "feedforward",
        "studyhall.policies.messages.feedforward:FeedforwardPolicy",
        "one small network for everyone, from what is seen and was last heard; to be trained",
    ),
    PolicySpec(
        "referential",
        "studyhall.policies.messages.referential_network:ReferentialPolicy",
        "a speaker and listeners who find what it names; to be trained",
    ),
    PolicySpec(
        "consensus_network",
        "studyhall.policies.messages.consensus_network:ConsensusPolicy",
        "states that exchange messages until they know what all have seen; to be trained",
    ),
    *(
        PolicySpec(name, "studyhall.policies.collective.specialists:Specialists", summary, {"system": name})
        for name, summary in (
            ("ensemble", "specialists learn alone and answer together"),
            ("weighted_ensemble", "the same under learnt weights"),
            ("diverse_ensemble", "negative correlation learning"),
            ("moe", "a noisy router consults the top k experts"),
            ("switch", "a router consults one expert a sample"),
            ("voting", "voters count for as much as they say they are sure"),
            ("unified", "specialists times any weighting"),
        )
    ),
    PolicySpec(
        "confident_bids",
        "studyhall.policies.collective.bids:Bidders",
        "bid what one's own network is sure of (hosted collectives)",
    ),
    PolicySpec(
        "relevance_router",
        "studyhall.policies.allocation:Router",
        "learnt scorers behind a router decide what is read",
    ),
    PolicySpec(
        "swarm_allocation",
        "studyhall.policies.allocation:SwarmAllocation",
        "the budget drifts to what scorers find relevant, tokens are drawn",
    ),
    PolicySpec(
        "ink", "studyhall.policies.allocation:Saliency", "read where the ink is: the baseline of allocation"
    ),
    PolicySpec(
        "masc",
        "studyhall.policies.socialized:Masc",
        "experts teach a student, from whom each grows into one who is best at its own",
    ),
    PolicySpec(
        "fedavg",
        "studyhall.policies.socialized:FedAvg",
        "federated averaging: experts take the mean of their networks now and then",
    ),
    PolicySpec(
        "peer_distillation",
        "studyhall.policies.socialized:PeerDistillation",
        "deep mutual learning: experts imitate each other on public slices",
    ),
    PolicySpec(
        "finetuning",
        "studyhall.policies.socialized:FineTuning",
        "experts go on to the others' classes with labels told",
    ),
    PolicySpec(
        "lwf",
        "studyhall.policies.socialized:LwF",
        "the same, keeping to what the expert said of its own classes",
    ),
    PolicySpec(
        "ewc",
        "studyhall.policies.socialized:EWC",
        "the same, holding parameters as far as they mattered to the expert",
    ),
    PolicySpec("pso", "studyhall.policies.swarm:PSO", "the classic particle swarm: w .7, c1 = c2 = 1.5"),
    PolicySpec(
        "hybrid_pso",
        "studyhall.policies.swarm:HybridPSO",
        "after each flight the three best descend along gradients",
    ),
    PolicySpec(
        "dense", "studyhall.policies.language:Dense", "all groups of a language model learn every slice"
    ),
    PolicySpec(
        "k1",
        "studyhall.policies.language:K1",
        "gradients, trust and recency say which groups learn: the documented K-1",
    ),
    PolicySpec(
        "k1_as_published",
        "studyhall.policies.language:AsPublished",
        "the published K-1: the largest gradients learn, Xavier tables, words",
    ),
    PolicySpec(
        "largest_gradients",
        "studyhall.policies.language:LargestGradients",
        "the groups with the largest gradients learn",
    ),
    PolicySpec(
        "cooldown",
        "studyhall.policies.language:Cooldown",
        "the same per parameter; who has learnt much sits out",
    ),
    PolicySpec(
        "ucb",
        "studyhall.policies.language:UCB",
        "upper confidence bounds over counts of updates",
    ),
    PolicySpec(
        "random_k", "studyhall.policies.language:RandomGroups", "groups drawn anew for every slice learn"
    ),
    PolicySpec(
        "round_robin",
        "studyhall.policies.language:RoundRobin",
        "each group learns in its turn",
    ),
    PolicySpec(
        "fixed_groups", "studyhall.policies.language:FixedGroups", "the same groups learn every slice"
    ),
    PolicySpec(
        "vocabulary",
        "studyhall.policies.language:Vocabulary",
        "embeddings and output learn, what composes texts rests",
    ),
    PolicySpec(
        "partition",
        "studyhall.policies.language:Partition",
        "groups are dealt to the domains beforehand (an oracle)",
    ),
    PolicySpec(
        "elastic",
        "studyhall.policies.language:Elastic",
        "all learn, anchored by what they knew of earlier domains (EWC)",
    ),
    PolicySpec(
        "columns",
        "studyhall.policies.language:Columns",
        "a model of each domain's own (an oracle)",
    ),
    PolicySpec(
        "linear_bids",
        "studyhall.policies.language:LinearBids",
        "bids are linear in what a group sees, to be trained by evolution strategies",
    ),
    PolicySpec("joint", "studyhall.policies.language:Joint", "all learn from all domains at once"),
    PolicySpec(
        "fixed_tree",
        "studyhall.policies.language.hierarchy:FixedTree",
        "all experts of a tree learn every slice, and the tree stays as it is",
    ),
    PolicySpec(
        "flat_mixture",
        "studyhall.policies.language.hierarchy:FlatMixture",
        "all experts of a flat mixture learn every slice",
    ),
    PolicySpec(
        "random_operations",
        "studyhall.policies.language.hierarchy:RandomOperations",
        "all experts learn, and the tree is changed at random",
    ),
    *(
        PolicySpec(name, f"studyhall.policies.language.hierarchy:{kind}", summary)
        for name, kind, summary in (
            ("random_agents", "RandomAgents", "k drawn agents of a tree learn beside the root"),
            (
                "least_used",
                "LeastUsed",
                "the k agents of a tree whom fewest tokens pick learn beside the root",
            ),
            ("trunk_alone", "TrunkAlone", "only the trunk of a tree learns"),
            ("newcomers", "Newcomers", "agents of a tree who learnt no earlier domain learn a new one"),
            (
                "linear_tree",
                "LinearTree",
                "bids and proposals linear in what an agent of a tree sees, to be trained",
            ),
        )
    ),
    PolicySpec(
        "k1_hierarchy",
        "studyhall.policies.language.hierarchy:K1Hierarchy",
        "experts earn trust, are pruned, merged, grown and moved: the documented hierarchy of K-1",
    ),
    *RULES,
):
    register_policy(_spec)

__all__ = [
    "MLP",
    "Lesson",
    "MadeInReset",
    "Policy",
    "PolicySpec",
    "Population",
    "Protocol",
    "RandomPolicy",
    "Rule",
    "Students",
    "Talk",
    "make_policy",
    "register_policy",
    "registry",
]
