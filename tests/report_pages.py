"""What the tests of reports share: pages taken apart, and a small run to make one of."""

from __future__ import annotations

from html.parser import HTMLParser

from studyhall.scenarios import Scenario

NASTY = "two <b>students</b> & a </script><script>alert(1)</script>"

SMALL = {"data": "digits", "agents": 3, "slice_size": 8, "horizon": 6, "teacher_budget": 3, "exam_size": 10}
TINY = Scenario(
    "tiny",
    NASTY,
    env="classroom-v0",
    policy="classroom",
    env_kwargs=SMALL,
    policy_kwargs={"hidden": [4]},
    seeds=(0, 1),
    controls=("mute",),
)


EMPTY = {"meta", "img", "input", "br", "link"}


class Taken(HTMLParser):
    """A page taken apart: elements with their attributes, text by section, what is not closed, what it points to."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.scripts: list[str] = []
        self.open: list[tuple[str, str]] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append((tag, dict(attrs).get("id") or ""))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1][0] != "style":
            inside = next((name for tag, name in reversed(self.open) if tag == "section"), "")
            self.texts[inside] = self.texts.get(inside, "") + data + "\n"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]
