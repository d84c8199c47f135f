"""Finds where a judge states a score: labelled, in a sentence, or as a bare fraction.

A statement that looks like a score and cannot be read is found as well, with its refusal: that the judge wrote
`SCORE: N/A` must not be lost because a number stands somewhere else.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from daydreaming_dagster.domain.response_text import QUOTED, PlainLine
from daydreaming_dagster.domain.score_labels import Rank, find_labels, names_nothing, rank_label
from daydreaming_dagster.domain.score_numbers import TOP, refuse_other_top, require_same_top, restated_tops, to_float
from daydreaming_dagster.domain.score_values import Reading, read_value
from daydreaming_dagster.domain.scores import Scale, ScoreRefusal, ScoreRefused

_MOST_LABELS = 2000
_LOOK_BACK = 120
_LOOK_AHEAD = 400
_LONG_LINE = 400
_LONGEST_PROSE = 10_000
_DIGIT = re.compile(r"\d")
_NUMBERS = re.compile(r"\d+")
_LONGEST_PHRASE_WORDS = 6
_LONGEST_NON_NUMBER = 60


@dataclass(frozen=True, slots=True)
class Statement:
    """One place where the judge states a score, or seems to.

    Attributes:
        line: index of the line it stands on.
        rank: how much it claims to be the score; None for a sentence or a bare fraction, which count least.
        label: the words that announce it, as they stand there.
        value: the score; None when it was refused.
        refusal: why it was refused; None when it was read.
        is_sole: it is all its line holds, and the line is no item of a numbered list.
        topic: the heading or the criterion it stands under, "" when there is none.
    """

    line: int
    rank: Rank | None
    label: str
    value: float | None = None
    refusal: ScoreRefused | None = None
    is_sole: bool = False
    topic: str = ""


def find_statements(lines: Sequence[PlainLine], scale: Scale) -> list[Statement]:
    """All labelled scores, in the order of the text.

    Raises:
        ScoreRefused: there are more labels than any judgement has.
    """
    found: list[Statement] = []
    announced = _announced_scale(lines)
    seen = 0
    topic = ""
    for index, line in enumerate(lines):
        here: list[Statement] = []
        if _may_hold_score(line.text) and not _is_announced_quotation(lines, index):
            labels = list(itertools.islice(find_labels(line.text), _MOST_LABELS + 1))
            seen += len(labels)
            if seen > _MOST_LABELS:
                raise ScoreRefused(ScoreRefusal.TOO_MANY, f"there are more than {_MOST_LABELS} score labels")
            here = [replace(statement, topic=topic) for statement in _on_line(lines, index, labels, scale, announced)]
        found += here
        if not here:
            topic = _read_topic(line, topic)
    return found


def _may_hold_score(text: str) -> bool:
    """Whether a line is worth a closer look: long ones without a digit are not."""
    return len(text) <= _LONG_LINE or _DIGIT.search(text) is not None


def find_sentences(lines: Sequence[PlainLine], scale: Scale) -> list[Statement]:
    """Scores given in a sentence (`I would give this essay 6 out of 9`), in the order of the text."""
    return [
        statement
        for index, line in enumerate(lines)
        if _DIGIT.search(line.text) and not _is_announced_quotation(lines, index)
        for statement in _sentences_on(line.text[-_LONGEST_PROSE:], index, scale)
    ]


def read_bare_fraction(line: PlainLine, index: int, scale: Scale) -> Statement | None:
    """The score of a line that is nothing but a number and the scale's top (`7/9`, `Overall, a solid 7/9`)."""
    start = re.search(r"\d", line.text[:_LONGEST_NON_NUMBER])
    if start is None or (index > 0 and len(line.text) > _LONGEST_NON_NUMBER):
        return None
    lead = line.text[: start.start()]
    if not names_nothing(lead) and not lead.rstrip().endswith((".", "!")):
        return None
    text = line.text[start.start() :]
    try:
        reading = read_value(text, scale)
    except ScoreRefused as refused:
        is_fraction = re.fullmatch(r"\d[\d.,]{0,9}\s*(?:/|out of)\s*\d[\d.,]{0,9}\s*", text)
        return Statement(index, None, line.text, refusal=refused) if is_fraction else None
    opens = index == 0 and not lead.strip() and reading.ends_sentence
    return Statement(index, None, line.text, reading.value) if reading.has_top and (reading.clean or opens) else None


# --- labelled ------------------------------------------------------------------------------------------------------

_AFTER = re.compile(
    r"(?P<words>(?:\s{1,3}(?:(?!(?:is|of|was)\s)[^\W\d_][^\W_]{0,20}(?:['’][a-z]{1,3})?)){0,5})"
    r"(?P<bracket>(?:\s{0,3}\([^()]{1,80}\)){0,2}|\s{0,3}(?:/|(?:out of|on an?|on the|from|of|von|sur|de|su)\s)"
    r"[^:=|()]{0,30}\d[^:=|()]{0,15})"
    r"\s{0,3}(?:(?:is|为|是|は|는|은)\s{0,3})?(?P<sep>:+=?|->|=>|=|→|\||–|-(?=\s)|(?<=[为是は는은])|$)\s{0,5}"
)
_NO_SEPARATOR = re.compile(r"\s{0,3}(?P<bracket>(?:\([^()]{1,80}\))?)\s{0,3}(?=[\d+–-])")
_COPULA = re.compile(
    r"(?P<words>(?:\s{1,3}[^\W\d_]{1,20}){0,6}?)"
    r"\s(?:is|would be|will be|comes to|stands at|ist|est|es)\s+(?=\D{0,12}\d)"
)
_PHRASE_START = re.compile(rf"[.!?;,|()“”:=→{QUOTED}]")
_LETTERED = re.compile(r"(?<![^\W_])[^\W\d_]\s*$")  # `Judge A`, `Essay B`
_CONNECTIVE = re.compile(
    r"(?:^|[.!?;–]\s)\s*(?:therefore|thus|hence|so|overall|finally|accordingly|consequently|all in all|all told"
    r"|as a result|all things considered|on balance|in (?:conclusion|summary|short|total|sum|the end)"
    r"|to (?:conclude|sum up|summari[sz]e)"
    r"|(?:taking|given|based on|considering|weighing|balancing|after|in (?:light|view) of|despite|because of|due to"
    r"|if (?:i|forced|pressed)|for th(?:is|ese) reasons?|on th(?:is|at) basis)\b[^.!?;:]{0,80}"
    r"|zusammenfassend|insgesamt|en conclusion|en résumé|en resumen|en conclusión|in conclusione|итак|в итоге"
    r"|таким образом|综上(?:所述)?|因此|したがって)\s*,?\s*$",
    re.IGNORECASE,
)


def _on_line(
    lines: Sequence[PlainLine], index: int, labels: Iterable[re.Match[str]], scale: Scale, announced: str
) -> Iterator[Statement]:
    text = lines[index].text
    done = 0
    for label in labels:
        if label.start() < done:
            continue
        phrase = _read_phrase(text, label)
        if phrase is None:
            continue
        line, rest = index, text[phrase.end : phrase.end + _LOOK_AHEAD]
        if not rest:
            line, rest = _value_below(lines, index, has_separator=phrase.is_complete)
        if not (phrase.is_complete or rest):
            continue
        place = Statement(line, None, f"{phrase.before} {text[label.start() : label.end()]}{phrase.after}".strip())
        statement = _state(
            phrase,
            rest,
            scale,
            place,
            nearby=f"{announced}\n{_nearby(lines, index, label.start())}",
            is_last=line == len(lines) - 1,
            is_below=line != index,
        )
        if statement is not None:
            done = phrase.end
            alone = statement.is_sole and not phrase.before.endswith("|") and not lines[index].is_numbered
            yield replace(statement, is_sole=alone)


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A label and the words that belong to it.

    Attributes:
        before, label, after: the words before the label, the label word in lower case, the words behind it.
        bracket: what stands in brackets behind the label, or restates the scale.
        separator: the sign between label and value; "" when there is none.
        end: where the value begins.
        is_complete: a separator, a number or the end of the line follows the label.
    """

    before: str
    label: str
    after: str
    bracket: str
    separator: str
    end: int
    is_complete: bool


def _read_phrase(text: str, label: re.Match[str]) -> _Phrase | None:
    before = _phrase_before(text, label.start())
    if before is None:
        return None
    if after := _AFTER.match(text, label.end()):
        return _Phrase(before, label[0], after["words"], after["bracket"], after["sep"], after.end(), True)
    if bare := _NO_SEPARATOR.match(text, label.end()):
        opens_line = label.start() <= _LOOK_BACK and text[: label.start()].strip() == before.strip()
        return _Phrase(before, label[0], "", bare["bracket"], "", bare.end(), True) if opens_line else None
    return _Phrase(before, label[0], "", "", "", label.end(), False) if label.end() == len(text) else None


_ANNOUNCES_SCALE = re.compile(
    r"\b(?:i|my|we|rat(?:e|ed|ing)|scor(?:e|es|ed|ing)|grad(?:e|ed|ing)|judge'?s?)\b", re.IGNORECASE
)


def _announced_scale(lines: Sequence[PlainLine]) -> str:
    """The line, if any, in which the judge says nothing but on which scale it counts."""
    for line in lines:
        text = line.text[:_LOOK_AHEAD]
        is_scale = len(_NUMBERS.findall(text)) == 2 and restated_tops(text) and _ANNOUNCES_SCALE.search(text)
        if is_scale and not any(_AFTER.match(text, label.end()) for label in find_labels(text)):
            return text
    return ""


def _nearby(lines: Sequence[PlainLine], index: int, start: int) -> str:
    """What stands just before a label, where the judge may say on which scale it counts."""
    above = lines[index - 1].text[:_LOOK_BACK] if index else ""
    if not re.search("scale|range", above, re.IGNORECASE):
        above = ""
    return f"{above}\n{lines[index].text[max(0, start - _LOOK_BACK) : start]}"


def _state(
    phrase: _Phrase, rest: str, scale: Scale, statement: Statement, *, nearby: str, is_last: bool, is_below: bool
) -> Statement | None:
    """The statement that a label and what follows it make; None when they make none."""
    try:
        require_same_top(nearby, scale)
        bracket = _bracket_words(phrase.bracket, scale)
        foreign_top = None
    except ScoreRefused as refused:
        bracket, foreign_top = "", refused
    rank = rank_label(phrase.before, phrase.label, phrase.after, bracket)
    if rank is None:
        return None
    statement = replace(statement, rank=rank)
    try:
        reading = read_value(rest, scale, after_separator=phrase.separator not in ("", "–", "-"))
        if foreign_top:
            raise foreign_top
    except ScoreRefused as refused:
        return replace(statement, refusal=refused) if _counts(refused, rank, phrase, rest, is_last=is_last) else None
    set_off = reading.clean or reading.has_top
    if not set_off and (rank <= Rank.WEAK or is_below or phrase.separator == ""):
        return None
    return replace(statement, value=reading.value, is_sole=reading.clean)


_OTHER_SCALE = (ScoreRefusal.WRONG_DENOMINATOR, ScoreRefusal.OFF_SCALE)


def _counts(refused: ScoreRefused, rank: Rank, phrase: _Phrase, rest: str, *, is_last: bool) -> bool:
    """Whether a refused value is a score that cannot be used, and not something else than a score."""
    if phrase.separator == "" and refused.code not in _OTHER_SCALE:
        return False
    if refused.code is ScoreRefusal.NO_NUMBER:
        if not rest.strip():
            return is_last and rank > Rank.WEAK
        return phrase.separator[:1] in (":", "=") and rank > Rank.WEAK and len(rest) <= _LONGEST_NON_NUMBER
    if rank is Rank.WEAK:
        return refused.code in (*_OTHER_SCALE, ScoreRefusal.RANGE)
    return True


def _bracket_words(bracket: str, scale: Scale) -> str:
    """The words in the brackets behind a label, without a scale that is restated there.

    Raises:
        ScoreRefused: the restated scale has another top.
    """
    require_same_top(bracket, scale)
    if (top := TOP.search(bracket)) and top["top"][0].isdigit():
        refuse_other_top(to_float(top["top"]), "", scale)
    numbers = [float(number) for number in re.findall(r"\d{1,9}(?:\.\d{1,9})?", bracket)]
    if not numbers:
        return bracket
    if len(numbers) > 1 and not restated_tops(bracket) and max(numbers) != scale.max:
        raise ScoreRefused(ScoreRefusal.WRONG_DENOMINATOR, f"'{bracket.strip()}' is not the scale {scale}")
    return "" if restated_tops(bracket) or max(numbers) == scale.max else bracket


def _phrase_before(text: str, start: int) -> str | None:
    """The words between the beginning of the phrase and the label; None when the label stands inside a sentence."""
    window = text[max(0, start - _LOOK_BACK) : start]
    marks = list(_PHRASE_START.finditer(window))
    if not marks:
        phrase, lead, mark = window, "", ""
        if start > _LOOK_BACK:
            return None
    else:
        phrase, lead, mark = window[marks[-1].end() :], window[: marks[-1].start()], marks[-1][0]
    if len(phrase.split()) > _LONGEST_PHRASE_WORDS:
        return None
    if mark in ("", "|") or mark in ".!?;" or not lead.strip(" ("):
        return phrase
    if mark == ",":
        is_item = re.search(r"[:=|–][^,]{0,20}\d[^,]{0,12}$", lead) is not None
        return phrase if is_item or _CONNECTIVE.search(lead) or QUOTED in lead else None
    if mark == ":" and (words := re.split(r"[.!?;|]", lead)[-1]) and len(words.split()) <= _LONGEST_PHRASE_WORDS:
        return phrase if names_nothing(words) and not _LETTERED.search(words) else None
    return None


def _value_below(lines: Sequence[PlainLine], index: int, *, has_separator: bool) -> tuple[int, str]:
    """Line and text of a value that stands alone under its label."""
    below = index + 1
    if below >= len(lines) or not (has_separator or len(lines[index].text.split()) <= _LONGEST_PHRASE_WORDS):
        return index, ""
    value = lines[below].text
    return (below, value) if value[:1].isdigit() and len(value) <= _LONGEST_NON_NUMBER else (index, "")


_QUOTING = re.compile(
    r"\b(?:ends?|ending|closes?|closing|concludes?|says?|reads?|writes?|wrote|claims?|contains?|states?|quot\w{1,5}|puts"
    r"|begins?|opens?|includes?|excerpt|passage|inserts?|injects?|adds?|line)\b",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(r"\b(?:examples?|formats?|template|e\.g\.|for instance|such as|instructions?)\b", re.IGNORECASE)
_JUDGING = re.compile(
    r"\b(?:my|i|scor\w{1,4}|rat(?:e|ed|ing)|grade|evaluation|assessment|verdict|give|judge?ment|conclusion)\b",
    re.IGNORECASE,
)


def _is_announced_quotation(lines: Sequence[PlainLine], index: int) -> bool:
    """Whether the line before announces this one as a quotation (`The essay ends with:`)."""
    if index == 0:
        return False
    before = re.split(r"[.!?)]\s", lines[index - 1].text[-200:])[-1]
    if before.rstrip().endswith(":") and _EXAMPLE.search(before):
        return True
    return before.rstrip().endswith(":") and _QUOTING.search(before) is not None and _JUDGING.search(before) is None


_TOPIC = re.compile(r"([^\W\d_][^:|=–.!?]{1,50}?)\s*(?:\([^()]{0,30}\))?\s*(?::|–|\s-\s)(?!\s*\d)")


def _read_topic(line: PlainLine, current: str) -> str:
    """The criterion that the lines after this one are about."""
    if line.is_heading or line.is_numbered:
        heading = re.split(r"[:.–]|\s-\s", line.text, maxsplit=1)[0]
        return heading if len(heading.split()) <= _LONGEST_PHRASE_WORDS else current
    if (found := _TOPIC.match(line.text[:80])) and len(found[1].split()) <= 4:
        return found[1]
    return current


# --- in a sentence -------------------------------------------------------------------------------------------------

_GIVING = re.compile(
    r"\b(?:(?P<english>(?:i|we)(?:\s?['’](?:d|ll|ve|m))?(?:\s(?:would|will|have))?\s(?:(?:therefore|thus|hence|only)\s)?"
    r"(?:(?P<going>(?:am\s)?going with)"
    r"|(?:am\s)?(?:giving|assigning|awarding|rating|scoring)|give|gave|given|assign(?:ed)?|award(?:ed)?|rated?|scored?"
    r"|graded?|grant(?:ed)?|say|call"
    r"|(?P<ends>settle on|go with|land on|arrive at|end up at|(?:put|place) (?:it|this|the essay) at))"
    r"|(?:essay|it|this|this one|text|piece|response|submission|proposal|work)\s(?:(?:therefore|thus)\s)?"
    r"(?:receives|earns|gets|scores|merits|deserves|rates))"
    r"|(?:ich (?:gebe|vergebe|bewerte)|(?:gebe|vergebe|bewerte) ich)|je (?:lui |vous |l['’])?(?:donne|mets|note"
    r"|attribue)"
    r"|j['’]attribue|(?:le )?(?:doy|otorgo|asigno)|dou|atribuo|assegno|(?:ставлю|оцениваю))\b"
    r"(?P<object>[^.!?;:\d“”()]{0,60}?)(?=\d)"
    r"|我[^.!?;:\d“”()]{0,30}?(?P<points>[打评])(?:了|出)?\s?(?=\d)",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:not|never|cannot|no|if|unless|had|would have|could have|might|at least|at most|less|more|about|around"
    r"|between|nicht|kein\w{0,2}|pas|nunca|не|most|nearly|almost|other|others|another|previous|earlier|human|last|than)\b|n['’]t\b",
    re.IGNORECASE,
)
_SENTENCE_REFUSALS = (
    ScoreRefusal.WRONG_DENOMINATOR,
    ScoreRefusal.OFF_SCALE,
    ScoreRefusal.RANGE,
    ScoreRefusal.TWO_SCORES,
)


_NAMED_OBJECT = re.compile(
    r"\b(?:score|rating|grade|mark)\sof\s$|\san?\s(?:(?:solid|strong|firm|clear|weak|fair|respectable|generous)\s)?$",
    re.IGNORECASE,
)
_FINAL_SCORE_OF = re.compile(r"\b(?:final|overall|total)\s(?:score|rating|grade)\sof\s(?=\d)", re.IGNORECASE)
_FITTING = re.compile(
    r"\b(?:score|rating|grade)\sof\s(?P<value>\d[\d.,]{0,6}(?:\s?(?:/|out of)\s?\d[\d.]{0,6})?)"
    r"\s(?:is|seems|feels|would be)\s"
    r"(?:appropriate|fair|justified|warranted|right|reasonable|deserved|fitting)\b",
    re.IGNORECASE,
)


def _sentences_on(text: str, line: int, scale: Scale) -> Iterator[Statement]:
    for found in _GIVING.finditer(text):
        if not _UNSURE.search(_sentence_around(text, found.start(), found.end())):
            if found["english"] and not _is_about_text(found["object"]):
                continue
            named = _NAMED_OBJECT.search(found["object"] or "") or found["ends"] or found["going"] or found["points"]
            yield from _sentence(text, found.end(), line, scale, needs_top=named is None)
    for found in _FINAL_SCORE_OF.finditer(text):
        if not _UNSURE.search(_sentence_around(text, found.start(), found.end())):
            yield from _sentence(text, found.end(), line, scale, needs_top=False)
    for found in _FITTING.finditer(text):
        if not _UNSURE.search(_sentence_around(text, found.start(), found.end())):
            yield from _sentence(found["value"], 0, line, scale, needs_top=False)
    for label in find_labels(text):
        copula = _COPULA.match(text, label.end())
        before = _phrase_before(text, label.start())
        if copula is None or before is None or _UNSURE.search(_sentence_around(text, label.start(), copula.end())):
            continue
        if (rank_label(before, label[0], copula["words"], "") or 0) >= Rank.TOTAL:
            yield from _sentence(text, copula.end(), line, scale, needs_top=False)


_TEXT_NOUN = re.compile(
    r"\b(?:essay|it|this|that|text|piece|response|submission|proposal|work|draft|idea)\b", re.IGNORECASE
)
_PART_OF = re.compile(r"\b(?:of|in|for)\s(?:this|the|your|its|that)\b|'s\s", re.IGNORECASE)


def _is_about_text(given_to: str) -> bool:
    """Whether what gets the number is the whole text and not a part or a quality of it."""
    return names_nothing(given_to) or bool(_TEXT_NOUN.search(given_to) and not _PART_OF.search(given_to))


def _sentence(text: str, start: int, line: int, scale: Scale, *, needs_top: bool) -> Iterator[Statement]:
    statement = Statement(line, None, text[start : start + 20])
    try:
        require_same_top(text[max(0, start - _LOOK_BACK) : start], scale)
        reading: Reading = read_value(text[start:], scale)
    except ScoreRefused as refused:
        if refused.code in _SENTENCE_REFUSALS:
            yield replace(statement, refusal=refused)
        return
    if reading.has_top or (reading.ends_sentence and not needs_top):
        yield replace(statement, value=reading.value)


def _sentence_around(text: str, start: int, end: int) -> str:
    before = re.split(r"[.!?]\s", text[max(0, start - _LOOK_BACK) : end])[-1]
    return before + re.split(r"[.!?](?:\s|$)", text[end : end + _LOOK_BACK], maxsplit=1)[0]
