#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Find the code blocks of Markdown documents and check how they are tagged.

usage: blocks.py [-o DIR] ROOT DOCUMENT...

DOCUMENT is a path below ROOT. Each block of commands says in its info string
what docs/run.sh does with it:

  ```sh run [SECONDS]         it is run, within SECONDS (default: 600)
  ```sh needs-hardware (WHY)  it is listed with its reason
  ```sh interactive (WHY)     likewise

Any other block names a language of OTHER and holds no commands. Wrong are: a
block without a language, or that is indented in place of a fence; one of
another language that begins a line with a command; a link to a file, or to a
heading, that is not there; a `make VERB` in the text that the Makefile lacks;
a @PLACE@ that is still to be filled in.

Prints, for each block of commands, DOCUMENT:LINE, its kind, and the seconds or
the reason, with tabs between; with -o, DIR/N.sh is the text of the Nth that is
run. Messages go to stderr. Exit code 0: all is right. 1: something is wrong.
2: usage.
"""

import getopt
import os
import re
import sys

OTHER = {"text", "c", "make", "diff", "json", "mermaid"}
FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})(.*)$")
ITEM = re.compile(r"^(\s*)([-*+]|\d+[.)])(\s+)\S")
TAG = re.compile(r"sh(?: run(?: ([1-9]\d*))?| (needs-hardware|interactive) \((\S.*)\))")
COMMAND = re.compile(r"\s*(\$ |(sudo|make|git|apt(-get)?|cp|cd|modprobe) [\w./-]|(\./|lab/|kernel/|docs/|scripts/)\w+\S* )")
LINK = re.compile(r"\]\(([^)\s]+)\)")
UNFILLED = re.compile(r"@[A-Z][A-Z_]*@")
MAKE = re.compile(r"`make ([a-z][a-z-]*)")


def indentation(line):
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())


class Document:
    """One document: its blocks of commands, and what is wrong with it."""

    def __init__(self, root, path):
        self.root, self.path = root, path
        self.commands, self.wrong = [], []
        with open(os.path.join(root, path), encoding="utf-8") as file:
            self.lines = file.read().splitlines()
        self.prose = self.scan()

    def error(self, number, text):
        self.wrong.append(f"{self.path}:{number}: {text}")

    def scan(self):
        """Handle each block; return [(number, line)] of all that is none."""
        prose, inside, blank = [], 0, True
        lines = enumerate(self.lines, 1)
        for number, line in lines:
            fence = FENCE.match(line)
            if fence:
                self.block(number, fence, lines)
                blank = False
                continue
            item = ITEM.match(line)
            if line.strip() and blank and indentation(line) >= inside + 4:
                self.error(number, "an indented block: use ```sh or ```text")
            elif item and indentation(line) <= inside:
                inside = indentation(line) + len(item[2] + item[3])
            elif line.strip() and indentation(line) == 0:
                inside = 0
            # The rest of an indented block is one with its first line.
            blank = not line.strip()
            prose.append((number, line))
        return prose

    def block(self, number, fence, lines):
        indent, mark, info = fence[1], fence[2], fence[3].strip()
        body = []
        for _, line in lines:
            if line.strip() == mark:
                break
            body.append(line.removeprefix(indent))
        else:
            self.error(number, "a block without end")
        language = info.split(" ")[0]
        if language == "sh":
            self.tagged(number, info, body)
        elif language not in OTHER:
            self.error(number, f"a block of '{language}': use sh, or one of "
                       + " ".join(sorted(OTHER)))
        else:
            for offset, line in enumerate(body, 1):
                if language != "make" and COMMAND.match(line):
                    self.error(number + offset, f"a command in a block of '{language}'")

    def tagged(self, number, info, body):
        tag = TAG.fullmatch(info)
        if not tag:
            self.error(number, f"'{info}': tag it run, needs-hardware (why) "
                       "or interactive (why)")
        elif not "".join(body).strip():
            self.error(number, "an empty block")
        else:
            kind = tag[2] or "run"
            self.commands.append((number, kind, tag[3] or tag[1] or "600",
                                  "\n".join(body) + "\n"))

    def headings(self):
        """The anchors that GitHub makes of this document's headings."""
        seen = {}
        for _, line in self.prose:
            match = re.match(r"#+ +(.*)", line)
            if match:
                slug = re.sub(r"[^\w\- ]", "", match[1].lower()).replace(" ", "-")
                seen[slug] = seen.get(slug, -1) + 1
                yield slug if not seen[slug] else f"{slug}-{seen[slug]}"

    def check_text(self, documents, verbs):
        for number, line in enumerate(self.lines, 1):
            for place in UNFILLED.findall(line):
                self.error(number, f"{place} is not filled in")
        for number, line in self.prose:
            for link in LINK.findall(line):
                if "://" in link or link.startswith("mailto:"):
                    continue
                file, _, heading = link.partition("#")
                target = os.path.normpath(
                    os.path.join(os.path.dirname(self.path), file)) if file else self.path
                if not os.path.exists(os.path.join(self.root, target)):
                    self.error(number, f"a link to {link}, which is not there")
                elif heading and target.endswith(".md"):
                    other = documents.get(target) or Document(self.root, target)
                    if heading not in other.headings():
                        self.error(number, f"a link to {link}: no such heading")
            for verb in MAKE.findall(line):
                if verb not in verbs:
                    self.error(number, f"'make {verb}': the Makefile has no such verb")


def main():
    options, args = getopt.getopt(sys.argv[1:], "o:")
    if len(args) < 2:
        sys.exit(2)
    root, paths = args[0], args[1:]
    documents = {path: Document(root, path) for path in paths}
    with open(os.path.join(root, "Makefile"), encoding="utf-8") as file:
        verbs = set(re.findall(r"^([a-z-]+):", file.read(), re.M))
    runs = 0
    for path, document in documents.items():
        document.check_text(documents, verbs)
        for number, kind, detail, body in document.commands:
            print(f"{path}:{number}", kind, detail, sep="\t")
            if kind == "run" and options:
                runs += 1
                with open(os.path.join(options[0][1], f"{runs}.sh"), "w",
                          encoding="utf-8") as file:
                    file.write(body)
    wrong = [line for document in documents.values() for line in document.wrong]
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
