"""Worlds that host their learners: the policy decides only who learns from whom.

## Description
`make_env("classroom-v0", learners="mlp")`, or any world that speaks soft targets. The world trains W·N networks
in one tensor program. In each step, with what was published on the slice before (and labels, where there are
any) still at hand, every agent says whom to imitate; the world makes that learning step, then every learner
publishes its beliefs on the present slice and sits the exam. The exam's inputs never leave the world.

## Observation Space
Flat `Dict`, the same for every agent. N agents; S sources, the most neighbours that an agent can have in the
topology: in a complete room N − 1, and source s of agent i is agent (i + 1 + s) mod N; elsewhere they come in the same
order, counted on from oneself. So one policy serves all. B rows, C classes. Features are explained in
`studyhall.envs.hosted.sources`; `source_features` and `own_features` of the world name them in order.

| key | shape | range | meaning |
|---|---|---|---|
| `sources` | `S, F` float32 | [−2, 2] | features of each source's message on the last slice; zeros if not heard |
| `sources_mask` | `S` int8 | {0, 1} | whose message arrived |
| `history` | `S, 3` float32 | [−1, 1] | what one went through with each source; zeros if not heard |
| `own_features` | `G` float32 | [−2, 2] | features of oneself |
| `report` | `2` float32 | [0, 1] | one's own report card, the teacher's budget left |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |
| `messages` | `S, B, C` float32 | [0, 1] | form "targets" only: the messages themselves; zeros if not heard |
| `beliefs` | `B, C` float32 | [0, 1] | form "targets" only: what oneself believed of that slice when it was published |
| `cards` | `S` float32 | [0, 1] | form "targets" only: report cards of the sources |
| `energies` | `S, B` float32 | ℝ | "targets" where energies cross (`society-v0`): the sources'; zeros if not heard |
| `own_energies` | `B` float32 | ℝ | likewise: one's own on that slice when it was published |
| `action_mask` | `K` int8 | {0, 1} | form "discrete" only: which choices are there |

## Action Space
By `actions`; every form says whom to imitate on the slice that the observation is about, and whether to ask the
teacher for the labels of the present one (`ask`, where there is a teacher to ask).
See `studyhall.envs.hosted.listening`.

| `actions` | space | meaning |
|---|---|---|
| "listen" | `listen: Box(0, 1, (S,))`, `ask: Discrete(2)` | a weight for each source |
| "gated" | also `gate: Box(0, 1, (1,))` | row by row a source's weight is multiplied by confidence^(16·gate) |
| "targets" | `targets: Box(0, 1, (B, C))`, `ask` | what to imitate, for rules that look at every row |
| "discrete" | `Discrete(K)` | nobody, the teacher (if any), the mean of the class, or one peer |

Where the action space has a single key (`listen` in a society, `choice`) the views of PettingZoo and Gymnasium take its
value itself; `make_world` takes either. The engine, unless made with `validate=True`, takes numbers that are not finite
for 0 and clips the others; views refuse both.

Weights on sources that were not heard count for nothing, and a choice that `action_mask` forbids means nobody. With
m = min(1, Σ w), targets are Σ w·p / Σ w and the learning *rate* is multiplied by m (a weight on the loss does nothing
under Adam); with labels in hand the rate is 1 and m weighs imitation against them. All-zero weights are legal: without
labels the learner keeps every bit. An agent that is away (`churn`) is told nothing new, its action has no effect and
its reward is 0.

## Rewards
As in the world that hosts, from a starting score that is the fresh learners' own.

## Episode End
As in the world that hosts, and: a world one of whose learners is no longer finite terminates.

## Arguments
Those of the world that hosts, and:

| argument | default | meaning |
|---|---|---|
| `learners` | "mlp" | "mlp", "cnn", "conv3", "vgg", "vgg-wide", a callable, or a list of these, one for each agent |
| `actions` | "listen" | the form of actions; `discrete_actions=True` is short for "discrete" |
| `hidden`, `dropout` | (128, 64), .2 | of the "mlp" |
| `optimiser`, `lr` | "adam", .001 | or "sgd" |
| `temperature` | 2 | T of published beliefs and of imitation, whose loss is scaled by T² |
| `learning_steps` | 1 | learning steps on each slice |
| `detect` | 0 | with `share="class_experts"`: weight of the risk by which energies come to tell one's own classes |
| `autoreset` | True | of `make_world`: an ended world begins anew within the step that ended it |
| `validate` | False | of `make_world`: check the values of actions too; views always do |

With `detect` whoever learns labels also learns to tell its own classes from the rest by its free energy: its labelled
rows are its own, the public ones are unlabelled, and the share of its own among these is taken to be that of its
classes among all (true of slices in the order "iid"). See `studyhall.learners.energy`.

Of pictures, "cnn" and "conv3" take those of 4×4 and more: two convolutions, or three with batch norm
(`studyhall.learners.Conv3`). "vgg" and "vgg-wide" take those of 32×32 and more: VGG-16 with batch norm and dropout
(`studyhall.learners.VGG`).

A callable is called without arguments and makes an `nn.Module` from `[M, D…]` to logits `[M, C]`, once for every
learner, whose initial weights follow from the world's seed. Running statistics of batch norm are each learner's own,
and layers `nn.Dropout` drop what the learner's key says; other dropout would draw from the global generator and is
refused, as are LSTM, GRU and RNN (`torch.func.vmap` cannot stack these). `hidden` and `dropout` are the "mlp"'s and
mean nothing to others.
"""

from .host import Feedback, Host, HostSettings
from .learners import Learners

__all__ = ["Feedback", "Host", "HostSettings", "Learners"]
