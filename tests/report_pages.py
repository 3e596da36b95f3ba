"""Reading a report as a program does: text by id, links, elements."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A page: `text` by id, all elements with their attributes; elements that are not closed are an error."""

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self._open = [], {}, []
        self.words = []
        self.feed(content)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag not in VOID:
            self._open.append((tag, found.get("id")))
        if found.get("id"):
            assert found["id"] not in self.text, "an id is there twice"
            self.text[found["id"]] = ""

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open[-1][0] == tag, (self._open[-1], tag, self.getpos())
        self._open.pop()

    def handle_data(self, data):
        self.words.append(data)
        for _, name in self._open:
            if name:
                self.text[name] += data

    @property
    def all_text(self):
        return " ".join("".join(self.words).split())

    def named(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]
