"""Takes a model's thinking out of its answer: what it weighed on the way is not what it said.

Linear in the length of the text: every tag is looked at once.
"""

from __future__ import annotations

import re

# Openers and closers of the reasoning parts that servers leave in the text: XML-like tags (DeepSeek, Qwen, Claude),
# square brackets (Magistral) and the triangles of Kimi.
_TAG = re.compile(r"[<\[◁](?P<close>/?)(?:seed:)?(?:think|thinking|thoughts?)[>\]▷]", re.IGNORECASE)
_REASONING_TAG = re.compile(r"<(?P<close>/?)(?:reasoning|analysis|scratchpad|reflection|rationale)>", re.IGNORECASE)
_HARMONY_FINAL = re.compile(
    r"<\|channel\|>\s{0,9}final\s{0,9}(?:<\|[a-z_]{1,20}\|>[^<]{0,40})?<\|message\|>", re.IGNORECASE
)
_HARMONY_THOUGHT = re.compile(r"<\|channel\|>\s{0,9}(?:analysis|commentary)", re.IGNORECASE)
_HARMONY_END = re.compile(r"<\|(?:end|return)\|>", re.IGNORECASE)


def strip_thinking(text: str, *, also_reasoning: bool = False) -> str:
    """The text without its thinking blocks.

    A closed block is removed wherever it stands. A closing tag that nothing opened ends a block that began with
    the response. An opening tag that is never closed counts only as the first thing in the response (then all of
    it is thinking): later it is more likely to be the subject of a sentence.

    Args:
        text: the raw response.
        also_reasoning: be stricter, for answers of which only a score is wanted: `<reasoning>`, `<analysis>` and
            similar parts go as well, and an opening tag alone on its line reaches to the end.
    """
    text = _without_harmony(text)
    kept, opened_at = _outside_blocks(text, _TAG, strip_orphans=True)
    if opened_at is not None:
        before = kept[: opened_at - len(text)]
        line = before.rpartition("\n")[2] + _TAG.sub("", text[opened_at:].partition("\n")[0], count=1)
        if not before.strip() or (also_reasoning and not line.strip()):
            kept = before
    return _outside_blocks(kept, _REASONING_TAG, strip_orphans=False)[0] if also_reasoning else kept


def _without_harmony(text: str) -> str:
    """The last `final` channel of a response in the Harmony format, nothing if it only has other channels."""
    finals = list(_HARMONY_FINAL.finditer(text))
    if finals:
        return _HARMONY_END.split(text[finals[-1].end() :], maxsplit=1)[0]
    return "" if _HARMONY_THOUGHT.match(text.lstrip()) else text


def _outside_blocks(text: str, tags: re.Pattern[str], *, strip_orphans: bool) -> tuple[str, int | None]:
    """What stands outside the blocks, and where in `text` a block opens that nothing closes."""
    kept: list[str] = []
    position = 0
    opened_at: int | None = None
    for tag in tags.finditer(text):
        if not tag["close"]:
            if opened_at is None:
                opened_at = tag.start()
        elif opened_at is not None:
            kept.append(text[position:opened_at])
            position, opened_at = tag.end(), None
        elif strip_orphans:
            kept.clear()
            position = tag.end()
    kept.append(text[position:])
    return "".join(kept), opened_at
