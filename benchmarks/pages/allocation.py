"""What a reader is given to read."""

from .cells import gain, markdown, spread

NAMES = {"relevance_router, glances": "relevance_router, sees 4 statistics"}
"""Policies in plain words."""


def allocation(found: dict) -> str:
    """A reader's accuracy by who chose what it read, and how much."""
    about = {
        "digits": "patches of 2×2 pixels;",
        "text": "words: from the abstract of a paper, or from an encyclopedia?",
    }
    parts = [
        f"The reader's test accuracy in per cent, {len(found['seeds'])} seeds; ± is a 95 % interval over seeds."
    ]
    for name, task in found["tasks"].items():
        accuracy = task["accuracy"]
        budgets = [key for key in accuracy["ink"] if key.isdigit()]
        rows = [
            (NAMES.get(policy, policy), *(spread(by[k], 1) for k in budgets))
            for policy, by in accuracy.items()
        ]
        ahead = (gain(accuracy["relevance_router"][k], accuracy["ink"][k], 1) for k in budgets)
        rows.append(("relevance_router − ink, paired", *ahead))
        title = (
            f"{name.capitalize()}, {task['tokens']} {about[name]} {task['classes']} classes, "
            f"{task['items']['stream']:,} items to learn from and {task['items']['test']:,} for the test, "
            f"{task['slices']} slices. Everything read: {spread(task['everything']['values'], 1)}."
        )
        header = ("policy", *(f"{k} of {task['tokens']}" for k in budgets))
        parts.append(f"{title}\n\n{markdown(header, rows)}")
    return "\n\n".join(parts)
