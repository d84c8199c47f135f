"""The words that announce a score, in the languages judges answer in, and what the words around them make of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache


class Rank(IntEnum):
    """How much a labelled number claims to be the score of the whole; the highest rank present decides."""

    SUM = 0
    """A sum or an average that is not called a score; it can contradict one, but not be one."""
    NAMED = 1
    """A score with a name of its own: a criterion, one of several essays (`Novelty score`)."""
    WEAK = 2
    """A word that also announces other things (`Result`, `Overall`, `Note`)."""
    TOTAL = 3
    """A sum or an average (`Total score`)."""
    PLAIN = 4
    """`Score`, `My rating`, `Punktzahl`, `评分`."""
    FINAL = 5
    """`Final score`, `Overall rating`."""
    REVISED = 6
    """`Revised score`: said to replace an earlier one."""


_SCORE_WORDS = (
    # English
    "scores?|ratings?|grades?"
    # German, Dutch, Scandinavian
    "|(?:gesamt|end|abschluss|durchschnitts)?(?:punktzahl|score|bewertung|wertung|urteil)|(?:gesamt|end|abschluss)note"
    "|(?:gesamt|end)(?:ergebnis|punkte)|totaalscore|eindscore|eindcijfer|beoordeling|eindbeoordeling|cijfer"
    "|poäng|slutpoäng|totalpoäng|betyg|slutbetyg|poeng|karakter|pisteet|arvosana"
    # Romance
    "|puntuaci[óo]n|calificaci[óo]n|puntaje|valoraci[óo]n|pontua[çc][ãa]o|classifica[çc][ãa]o|punteggio|valutazione|voto"
    "|notation|scor|punctaj|puntuació"
    # Slavic
    "|оценка|балл|баллы|рейтинг|оцінка|бал|ocena|punktacja|wynik|sk[óo]re|hodnocení|známka|hodnotenie|оцена|ocjena"
    # others with word boundaries
    "|puan|skor|nilai|điểm số|điểm|الدرجة|درجة|التقييم|تقييم|النتيجة|العلامة|امتیاز|स्कोर|अंक|βαθμολογία|βαθμός|ציון"
    "|pontszám|értékelés|poengsum|pistemäärä|نمره|স্কোর|iskor"
)
_SCORE_WORDS_UNDIVIDED = (
    "评分|得分|分数|总分|打分|总评分|評分|分數|總分|スコア|点数|得点|評価点数|評価点|評価|採点|評点|総合点"
    "|점수|총점|평점|คะแนน"
)
_WEAK_WORDS = (
    "overall|total|final|verdict|results?|answer|note|nota|marks?|points|punkte|evaluation|assessment|boxed"
    "|gesamt|ergebnis|итого|évaluation|evaluación|avaliação|judge?ment|tl;?dr|bottom line|conclusion|average|mean|sum"
)
_WEAK_WORDS_UNDIVIDED = "评价|評價|평가|结果|結果|结论|結論"

# Matched against lower case: an alternation of plain words is several times faster without IGNORECASE.
_EDGE_LEFT, _EDGE_RIGHT = r"(?<![^\W_])", r"(?![^\W_])"
_LABEL = re.compile(
    rf"{_EDGE_LEFT}(?:{_SCORE_WORDS}|{_WEAK_WORDS}){_EDGE_RIGHT}|{_SCORE_WORDS_UNDIVIDED}|{_WEAK_WORDS_UNDIVIDED}"
)
_STRONG_LABEL = re.compile(rf"{_EDGE_LEFT}(?:{_SCORE_WORDS}){_EDGE_RIGHT}|{_SCORE_WORDS_UNDIVIDED}")


def find_labels(text: str) -> Iterator[re.Match[str]]:
    """Where words stand that announce a score; positions are those in `text`, words are in lower case."""
    if text.isascii() and not any(map(_may_begin_label, _ASCII_WORD.findall(text.lower()))):
        return iter(())  # to look words up that were met before is ten times as fast
    return _LABEL.finditer(lower(text))


_ASCII_WORD = re.compile(r"[a-z0-9]+")
_FIRST_OF_SEVERAL = frozenset({"tl", "bottom"})
"""What labels of more than one word begin with, where these are in ASCII."""


@lru_cache(maxsize=20_000)
def _may_begin_label(word: str) -> bool:
    return word in _FIRST_OF_SEVERAL or _LABEL.fullmatch(word) is not None


def lower(text: str) -> str:
    """The text in lower case, of the same length."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


def _word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FINAL = _word_set(
    """
    final finale finala finaal overall ultimate definitive concluding closing holistic composite combined global
    globale général générale generale generala endgültige endgültig gesamt abschließende ostateczna ostateczny
    końcowa końcowy celkové konečné итоговая итоговый общая общий финальная финальный окончательная загальна
    підсумкова geral slutlig slutgiltig endelig nihai genel akhir النهائي النهائية النهائيه النهائى الإجمالية
    τελική συνολική סופי כולל cuối cùng tổng summary végső lopullinen 最终 最終
    最后 最後 综合 綜合 総合 总体 總體 整体 整體 全体 최종 종합
    전체
    """
)
_REVISED = _word_set(
    """
    revised updated corrected adjusted amended
    """
)
_TOTAL = _word_set(
    """
    total totale totaal sum average mean weighted avg totaux suma toplam 总 總 合計 合计 총 łączna łączny celkem
    """
)
_NEUTRAL = _word_set(
    """
    my the our your this that essay essay's essays response response's text piece submission answer idea paper
    story is was be would comes to out of for an as on so therefore thus hence and with in numeric numerical
    integer assigned awarded given evaluation evaluator judge judge's judges assessment verdict conclusion
    result summary llm number here are at following stands required official single quality_overall output
    judgement judgment der die das des dieses diesen den meine mein für fur ist ma mon la le les de du pour cet
    cette essai l'essai est mi el para este ensayo del es minha meu do da ensaio il mio saggio per questo di
    mijn dit het voor deze моя эссе за это этого мой моє moja za esej mitt min för denna uppsats bu deneme için
    untuk esai ini cho bài luận này للمقال المقال 我的 本文 该文 文章
    此文 该 本 的 この その エッセイ 論文 作文 에세이 의 higher better 0 assistant earned obtained attribuée attribué
    obtenue vergebene asignada otorgada attribuita assegnato присвоенная grand aggregate
    whole entire complete score scores rating ratings grade
    """
)
# A number behind one of these is about scores, but is not this judge's score of this text.
_NOT_THE_SCORE = _word_set(
    """
    range ranges scale maximum max min minimum highest lowest possible perfect passing expected reference
    baseline previous prior earlier initial preliminary draft tentative provisional human reviewer reviewers
    reader readers confidence certainty predicted claimed desired self peer
    student example sample target threshold ideal guide guideline guidelines key
    criteria criterion rubric justification explanation rationale reason reasons reasoning breakdown comparison
    typical other others their his her author author's if potential theoretical available words word count cost
    penalty bonus deduction weight weights best worst level difference gap change z t p f1 credit test exam last
    next ceiling floor cutoff cap
    """
)
# Headings of a judgement that name no criterion.
_SECTIONS = _word_set(
    """
    reasoning strengths strength weaknesses weakness explanation justification analysis comment comments
    feedback rationale improvements improvement suggestions notes note recommendation recommendations discussion
    critique evaluation review pros cons why how improve areas thoughts observations details detailed step
    scoring breakdown main key general points reasons reason conclusion verdict s correction edit update
    """
)
_FILLERS = _word_set("a an solid strong firm clear weak fair good respectable generous")
_SUMS = _word_set("average mean sum")
_VERDICTS = _word_set("verdict conclusion judgement judgment assessment evaluation score rating result decision")
_KNOWN = _NEUTRAL | _FINAL | _TOTAL | _REVISED
_FREE = _KNOWN | _FILLERS | _SECTIONS
# Beside a word such as `overall` these name the whole; alone they may name a criterion.
_OF_THE_WHOLE = _word_set("quality impression performance merit value rank")
_VERSIONS = _word_set("essay text draft version piece response")
_UNDIVIDED_QUALIFIER = re.compile(
    "最终|最終|最后|最後|综合|綜合|総合|总体|總體|整体|整體|全体|최종|종합|전체|总|總|合計"
    "|我的|本文|该文|文章|此文|该|的|この|エッセイ|論文|作文|에세이|의|评估|評估"
)
_ARTICLE = re.compile(r"^\s*a\s|\s(?:is|it|this|text|as)\sa\b", re.IGNORECASE)
_RELATIVE = re.compile(
    r"\b(?:that\s)?(?:i|we)(?:['’]d|\swould|\swill)?\s(?:assign|give|award|propose|arrive at|settle on)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")


def rank_label(before: str, label: str, after: str, bracket: str) -> Rank | None:
    """What a label with its surroundings announces; None when it is not a score of this text.

    Args:
        before: the words of the phrase before the label word.
        label: the label word, and further label words behind it.
        after: the words between the label and the separator.
        bracket: what stands in brackets behind the label, scales excepted.
    """
    words = _words(f"{_ARTICLE.sub('', before)} {_RELATIVE.sub('', after)}")
    about = _words(bracket)
    if not about & (_FINAL | _TOTAL):  # `(average of the criteria)` only says how the score was made
        words |= about
    if words & _NOT_THE_SCORE:
        return None
    label_words = words | _words(label)
    unknown = {word for word in words - _KNOWN if not _LABEL.fullmatch(word)}
    if label_words & _FINAL:
        unknown -= _OF_THE_WHOLE
    if _STRONG_LABEL.search(lower(f"{before} {label} {after}")):
        return Rank.NAMED if unknown else _rank_strong(label_words)
    if unknown:
        return None
    return Rank.SUM if _words(label) & _SUMS else Rank.WEAK


def _rank_strong(words: set[str]) -> Rank:
    if words & _REVISED and not words & _VERSIONS:
        return Rank.REVISED
    if words & _FINAL:
        return Rank.FINAL
    return Rank.TOTAL if words & _TOTAL else Rank.PLAIN


def is_final(text: str) -> bool:
    """Whether a heading announces the last word on the whole text."""
    return bool(_words(text) & (_FINAL | _VERDICTS))


def is_whole(text: str) -> bool:
    """Whether a heading is about the whole text rather than about one criterion."""
    return bool(_words(text) & (_FINAL | _TOTAL)) or names_nothing(text)


def names_nothing(text: str) -> bool:
    """Whether a phrase has only words that go with any score, and names no part, quality or other text."""
    return all(word in _FREE or _LABEL.fullmatch(word) for word in _words(text))


def _words(text: str) -> set[str]:
    words: set[str] = set()
    for word in _WORD.findall(text.lower()):
        parts = _UNDIVIDED_QUALIFIER.findall(word)
        if parts:
            words.update(parts)
            word = _UNDIVIDED_QUALIFIER.sub("", word)  # noqa: PLW2901
        if word:
            words.add(word)
    return words
