"""Turns a judge's raw response into plain lines: without thinking, quotations of the essay, and markup.

Every pass is linear in the length of the text: no pattern can look back or ahead further than a fixed distance.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from daydreaming_dagster.domain.thinking import strip_thinking

QUOTED = "“”"
"""Stands where a quotation was taken out, so that the words around it do not run together."""


@dataclass(frozen=True, slots=True)
class PlainLine:
    """One line of an answer that holds at least a letter or a digit.

    Attributes:
        text: the line without markup; table cells are divided by `|`.
        is_heading: it was set apart as a heading.
        is_numbered: it was an item of a numbered list.
    """

    text: str
    is_heading: bool = False
    is_numbered: bool = False


def read_plain_lines(text: str, *, keep_thinking: bool = False, keep_quotes: bool = False) -> list[PlainLine]:
    """The lines of a response in which its author speaks.

    Args:
        text: the raw response.
        keep_thinking: whether the thinking blocks count as well.
        keep_quotes: whether quotations count as well.
    """
    text = plain_characters(text)
    if not keep_thinking:
        text = strip_thinking(text, also_reasoning=True)
    text = _JSON_MEMBER.sub(r";\1\2:", text)
    text = _SPECIAL_TOKEN.sub(" ", _STRUCK.sub(" ", text))
    if not keep_quotes:
        text = _mask_tagged(_MARKER_END.sub("</essay>", _MARKER_BEGIN.sub("<essay>", text)))
    raw_lines = text.split("\n")
    if not keep_quotes:
        raw_lines = _mask_fences(raw_lines)
        raw_lines = _mask_marks("\n".join(raw_lines)).split("\n")
    lines = [line for raw in raw_lines for line in _plain(raw, keep_quotes=keep_quotes)]
    if not keep_quotes:
        lines = list(_without_essay_section(lines))
    return [line for line in _unfold_tables(lines) if _SPEAKS.search(line.text)]


_SPEAKS = re.compile(rf"[^\W_]|{QUOTED}")
_NEWLINES = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(?:del|s|strike)>[^<\n]{0,200}</(?:del|s|strike)>", re.IGNORECASE)

_JSON_MEMBER = re.compile(r",(\s{0,80})\"([\w -]{1,40})\"\s{0,9}:")
_SPECIAL_TOKEN = re.compile(r"<[|｜][^<>|｜\n]{1,40}[|｜]>|\[/?INST\]|<</?SYS>>")

_SAME_CHARACTERS = {
    **dict.fromkeys("−﹣", "-"),
    **dict.fromkeys("‐‑", "-"),
    **dict.fromkeys("‒–—―⸺", "–"),
    **dict.fromkeys("→⇒➡➔➜⟶⟹➝", "→"),
    **dict.fromkeys("∶﹕", ":"),
    **dict.fromkeys("⁄∕", "/"),
    **dict.fromkeys("，、،", ", "),
    "。": ". ",
    **dict.fromkeys("│┃｜║", "|"),
    "٫": ".",
    "٪": "%",
    "【": "[",
    "】": "]",
}


def plain_characters(text: str) -> str:
    """The text with one spelling for what looks the same: digits, dashes, spaces, full-width signs, line ends."""
    text = _NEWLINES.sub("\n", text)
    if text.isascii():
        return text
    table = {ord(char): _plain_character(char) for char in set(text) if not char.isascii()}
    text = text.translate(table)
    return "\n".join(
        unicodedata.normalize("NFC", line) if len(line) <= 1000 and not line.isascii() else line
        for line in text.split("\n")
    )


def _plain_character(char: str) -> str:
    category = unicodedata.category(char)
    if char in _SAME_CHARACTERS:
        plain = _SAME_CHARACTERS[char]
    elif category == "Nd":
        plain = str(unicodedata.decimal(char))
    elif category == "Zs":
        plain = " "
    elif category in ("Cf", "Cs", "Cc") or char in "\u20e3\ufe0e\ufe0f":
        plain = ""
    elif "\uff01" <= char <= "\uff5e":
        plain = chr(ord(char) - 0xFEE0)
    elif "\U0001d400" <= char <= "\U0001d7ff":
        plain = unicodedata.normalize("NFKC", char)
    elif category == "No" and "CIRCLED DIGIT" in unicodedata.name(char, ""):
        plain = f" {unicodedata.digit(char)} "
    else:
        plain = char
    return plain


# The lines between which the shipped rubrics show a judge the essay, should the judge repeat them.
_MARKER_BEGIN = re.compile(
    r"[#=*-]{2,9}\s?(?:ESSAY (?:BEGINS|STARTS)|(?:BEGIN|START)(?: OF)?(?: THE)? ESSAY)\s?[#=*-]{2,9}"
)
_MARKER_END = re.compile(r"[#=*-]{2,9}\s?(?:ESSAY ENDS|END(?: OF)?(?: THE)? ESSAY)\s?[#=*-]{2,9}")
_QUOTE_TAG = re.compile(
    r"<(?P<close>/?)(?P<name>essay|essay_text|essay-text|blockquote|quote|excerpt|passage|draft|submission|response|input)"
    r"(?:\s[^<>\n]{0,200})?>",
    re.IGNORECASE,
)


def _mask_tagged(text: str) -> str:
    """Takes out what stands between tags that hold somebody else's words.

    An opening tag that nothing closes counts only at the beginning of a line, and then reaches to the end.
    """
    tags = list(_QUOTE_TAG.finditer(text))
    last_close = {tag["name"].lower(): tag.start() for tag in tags if tag["close"]}
    kept: list[str] = []
    position, opened = 0, ""
    for tag in tags:
        name = tag["name"].lower()
        if opened:
            if name == opened and tag["close"]:
                position, opened = tag.end(), ""
        elif not tag["close"]:
            line_start = text.rfind("\n", max(0, tag.start() - 80), tag.start()) + 1
            if last_close.get(name, -1) > tag.start() or not text[line_start : tag.start()].strip():
                kept += [text[position : tag.start()], f"\n{QUOTED}\n"]
                opened = name
    if not opened:
        kept.append(text[position:])
    return "".join(kept)


_FENCE = re.compile(r"\s{0,12}(?:`{3,}|~{3,})")
_DATA_LINE = re.compile(r"\s*(?:[^\n]{0,80}[:=|][^\n]{0,80}|[\d\s./]{1,20}|[{}\[\](),\s`]{0,20})$")
_JSON_LINE = re.compile(r"\s*(?:\"[^\"]{1,40}\"\s*:|[{}\[\]])")


def _mask_fences(lines: list[str]) -> list[str]:
    """Takes out fenced blocks of running text; a block of data, or one around the whole answer, is the judge's own."""
    fences = [index for index, line in enumerate(lines) if _FENCE.match(line)]
    spoken = [index for index, line in enumerate(lines) if line.strip()]
    if not fences or (len(fences) == 2 and fences == [spoken[0], spoken[-1]]):
        return lines
    masked = list(lines)
    for start, end in zip(fences[::2], [*fences[1::2], len(lines)], strict=False):
        inside = [line for line in lines[start + 1 : end] if line.strip()]
        if len(inside) > 1 and not all(_DATA_LINE.match(line) or _JSON_LINE.match(line) for line in inside):
            masked[start + 1 : end] = [QUOTED] * (end - start - 1)
    return masked


_CURLY = re.compile(
    r"„[^„“”]{0,20000}[“”]|“[^“”]{0,20000}”|«[^«»]{0,20000}»|»[^«»\n]{0,400}«|「[^「」]{0,20000}」|『[^『』]{0,20000}』"
    r"|‘[^‘’\n]{0,400}’(?![^\W_])|'(?<![^\W_]')[^'\n]{1,400}'(?![^\W_])|\"(?<!\\\")(?:[^\"\\\n]|\\.){0,20000}\""
)
_LONGEST_QUOTATION_LINES = 80


def _mask_marks(text: str) -> str:
    """Takes out quotations in quotation marks; a lone word or number in marks is only emphasis and stays."""
    return _CURLY.sub(_mask_mark, _mask_straight_across_lines(text))


def _mask_mark(found: re.Match[str]) -> str:
    inside = found[0][1:-1]
    if not _holds_letter_and_digit(inside):
        return f" {inside} " if len(inside) <= 40 else found[0]
    return "\n".join([QUOTED] * (inside.count("\n") + 1))


def _holds_letter_and_digit(text: str) -> bool:
    return re.search(r"\d", text) is not None and re.search(r"[^\W\d_]", text) is not None


def _mask_straight_across_lines(text: str) -> str:
    """Takes out what stands between a straight mark left open on one line and its fellow on a later line."""
    if '"' not in text:
        return text
    lines = text.split("\n")
    odd = [index for index, line in enumerate(lines) if (line.count('"') - line.count('\\"')) % 2]
    position = 0
    while position + 1 < len(odd):
        start, end = odd[position], odd[position + 1]
        opening, closing = lines[start].rfind('"'), lines[end].find('"')
        looks_open = (
            lines[start][:opening][-1:] in ("", " ", "(", "[", ":", "–") and lines[start][opening + 1 :].strip()
        )
        if end - start > _LONGEST_QUOTATION_LINES or not looks_open:
            position += 1
            continue
        lines[start] = f"{lines[start][:opening]}{QUOTED}"
        lines[start + 1 : end] = [QUOTED] * (end - start - 1)
        lines[end] = f"{QUOTED}{lines[end][closing + 1 :]}"
        position += 2
    return "\n".join(lines)


_BREAK_TAG = re.compile(r"<(?:br|/p|/li|/tr|/h[1-6]|/div)\s*/?>", re.IGNORECASE)
_VALUE_TAG = re.compile(r"<(?!/)([a-z][a-z _-]{2,40})>\s*(?=[\d({\[*`-])", re.IGNORECASE)
_TAG = re.compile(
    r"</?[a-z][\w-]{0,40}(?:\s{1,9}[a-z_:-]{1,40}(?:\s?=\s?(?:\"[^\"<>\n]{0,200}\"|'[^'<>\n]{0,200}'|[^\s<>\"']{1,200}))?){0,9}"
    r"\s{0,9}/?>",
    re.IGNORECASE,
)
_ANGLE = re.compile(r"<(?=[^\W\d_])|>{1,3}\s{0,3}$")
_NUMBER_IN_ANGLES = re.compile(r"<\s*(\d[\d./ ]{0,12})\s*>")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}\n]{1,20})\}\s?\{([^{}\n]{1,20})\}")
_BOXED = re.compile(r"\\boxed\s?\{")
_TEX = re.compile(r"\\(?:text|textbf|mathbf|mathrm|quad|qquad|left|right|[,;!()\[\]])\s?|\$")
_ESCAPED = re.compile(r"\\(?=[*_#`|>~.:/-])")
_EMPHASIS = re.compile(r"`+|(?<!\d)\*+|\*+(?!\d)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s|\s*(?:\*\*|__)[^*\n]{1,80}(?:\*\*|__)\s*:?\s*$")
_NUMBERED = re.compile(r"\s*(?:\(?\d{1,2}[.)]|\(?[a-z]\)|step\s\d{1,2}[.:)])\s+(?=\D)", re.IGNORECASE)
_BULLET = re.compile(r"(?:[-*+•·▪◦‣–]\s+|#{1,6}\s+|[^\w\s(|,;:.!?+/%=“<>~\"'\[{`*$\\–-]+\s*){1,20}")
_BRACES = str.maketrans({"[": "(", "]": ")", "{": " ", "}": " ", "_": " ", "\t": " "})
_LABEL_IN_BRACKETS = re.compile(r"^\s*\(\s*([^\W\d_][^\W\d_ ]{2,12}(?: [^\W\d_]{2,12})?)\s*\)\s*(?=[\d:])")


def _plain(raw: str, *, keep_quotes: bool) -> Iterator[PlainLine]:
    if len(raw) < 40 and raw.strip() == "":
        return
    stripped = raw.lstrip()
    if stripped.startswith(">") and not stripped.startswith((">=", "> =")):
        if not keep_quotes:
            yield PlainLine(QUOTED)
            return
        raw = stripped.lstrip("> ")
    is_heading = _HEADING.match(raw) is not None
    for part in _BREAK_TAG.sub("\n", raw).split("\n") if "<" in raw else (raw,):
        text, is_numbered = _strip_markup(part)
        yield PlainLine(text, is_heading, is_numbered)


def _strip_markup(raw: str) -> tuple[str, bool]:
    text = raw
    if "\\" in text or "$" in text:
        text = _FRACTION.sub(r"\1/\2", text)
        text = _BOXED.sub(" boxed: ", text)
        text = _TEX.sub(" ", text)
        text = _ESCAPED.sub("", text)
    if "<" in text:
        text = _NUMBER_IN_ANGLES.sub(r" \1 ", text)
        text = _VALUE_TAG.sub(r" \1: ", text)
        text = _ANGLE.sub(" ", _TAG.sub(" ", text))
    if "&" in text:
        text = html.unescape(text).replace("\xa0", " ")
    text = _EMPHASIS.sub("", text)
    if bullet := _BULLET.match(text.lstrip()):
        text = text.lstrip()[bullet.end() :]
    is_numbered = False
    if numbered := _NUMBERED.match(text):
        text, is_numbered = text[numbered.end() :], True
    text = text.translate(_BRACES).strip().strip("|").strip()
    return _LABEL_IN_BRACKETS.sub(r"\1 ", text), is_numbered


_ESSAY_HEADING = re.compile(
    r"(?:(?:the|full|original|submitted) ){0,3}(?:essay|draft|text)(?: text)?"
    r"(?: (?:under review|to (?:judge|be judged|evaluate)))?\s?:?$",
    re.IGNORECASE,
)


def _without_essay_section(lines: list[PlainLine]) -> Iterator[PlainLine]:
    """The lines without a section headed `Essay`, in which a judge repeats the text."""
    inside = False
    for line in lines:
        if line.is_heading:
            inside = _ESSAY_HEADING.match(line.text[:80]) is not None
        yield PlainLine(QUOTED) if inside and not line.is_heading else line


_TABLE_RULE = re.compile(r":?-{1,80}:?(?:\s{0,9}\|\s{0,9}:?-{1,80}:?){1,40}$")
_SCORE_COLUMN = re.compile(
    r"(?:score|rating|points|grade|value|punkte|note|awarded|earned|评分|得分|スコア|点数)s?(?![^\W_])", re.IGNORECASE
)
_HEADER_TOP = re.compile(r"(?:/|out of|max\.?)\s*\d{1,4}|\d{1,4}\s*(?:-|–|to)\s*\d{1,4}", re.IGNORECASE)


def _unfold_tables(lines: list[PlainLine]) -> Iterator[PlainLine]:
    """Gives each table row its meaning: `label | value`.

    A table whose single row is all numbers is read by its header; a table with one column of scores by the first
    cell of each row.
    """
    index = 0
    while index < len(lines):
        is_header = index + 1 < len(lines) and _TABLE_RULE.match(lines[index + 1].text) is not None
        if not is_header:
            yield lines[index]
            index += 1
            continue
        header = _cells(lines[index].text)
        end = index + 2
        while end < len(lines) and "|" in lines[end].text:
            end += 1
        rows = [_cells(line.text) for line in lines[index + 2 : end]]
        yield from _unfold(header, rows)
        index = end


def _unfold(header: list[str], rows: list[list[str]]) -> Iterator[PlainLine]:
    if len(rows) == 1 and len(rows[0]) == len(header) and all(cell[:1].isdigit() for cell in rows[0]):
        yield PlainLine(" | ".join(f"{name}: {cell}" for name, cell in zip(header, rows[0], strict=True)))
        return
    if len(rows) == 1 and len(header) > 2 and len(rows[0]) == len(header) and _SCORE_COLUMN.match(rows[0][0]):
        yield PlainLine(" | ".join(f"{name}: {cell}" for name, cell in zip(header[1:], rows[0][1:], strict=True)))
        return
    columns = [index for index, name in enumerate(header) if index > 0 and _SCORE_COLUMN.match(name)]
    # A top that the header states (`Score (0-10)`, `Points /10`) goes with every row.
    top = next((f" ({found[0]})" for name in header if (found := _HEADER_TOP.search(name))), "")
    for row in rows:
        cells = [row[0], row[columns[0]]] if len(columns) == 1 and columns[0] < len(row) else row
        yield PlainLine(" | ".join([cells[0] + top, *cells[1:]]))


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.split("|")]
