"""Training policies, by reward, through the channel or by evolution, and keeping the best.

=================  =====================================================================================
``config.json``    everything needed to train it again
``best.zip``       the policy that did best on held-out worlds so far, the untrained one among them
``last.zip``       the policy as training left it
``checkpoint.pt``  where a stopped training can be taken up again (``--resume``); ``checkpoint-before.pt``: before
``metrics.jsonl``  the curve: a line of JSON an evaluation; see `curves.py`
``metrics.csv``    the same as a table
``curve.png``      the same, drawn
``tensorboard/``   the same, and more points between, as TensorBoard's events
=================  =====================================================================================

`config.py` says what is trained, `loop.py` is the loop of every training, `by_reward.py`, `through_channel.py` and
`evolution.py` are what an update is and what is kept of it.
"""

from .begin import begin, carry_out, scenario_of, settle, train

__all__ = ["begin", "carry_out", "scenario_of", "settle", "train"]
