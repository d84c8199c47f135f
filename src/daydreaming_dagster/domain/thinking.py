"""Takes a model's thinking out of its answer: what it weighed on the way is not what it said.

Linear in the length of the text: every tag is looked at once.
"""

from __future__ import annotations

import re

# Openers and closers of the reasoning parts that servers leave in the text: XML-like tags (DeepSeek, Qwen, Claude),
# square brackets (Magistral) and the triangles of Kimi.
_TAG = re.compile(r"[<\[◁](?P<close>/?)(?:seed:)?(?:think|thinking|thought|thoughts)[>\]▷]", re.IGNORECASE)
_HARMONY_FINAL = re.compile(r"<\|channel\|>\s*final\s*(?:<\|[a-z_]{1,20}\|>[^<]{0,40})?<\|message\|>", re.IGNORECASE)
_HARMONY_END = re.compile(r"<\|(?:end|return)\|>", re.IGNORECASE)


def strip_thinking(text: str) -> str:
    """The text without its thinking blocks.

    A closed block is removed wherever it stands. A closing tag that nothing opened ends a block that began with
    the response. An opening tag that is never closed counts only as the first thing in the response (then all of
    it is thinking): later it is more likely to be the subject of a sentence.
    """
    finals = list(_HARMONY_FINAL.finditer(text))
    if finals:
        text = _HARMONY_END.split(text[finals[-1].end() :], maxsplit=1)[0]
    kept: list[str] = []
    position = 0  # everything before it is either kept or thinking
    opened_at: int | None = None
    for tag in _TAG.finditer(text):
        if not tag["close"]:
            if opened_at is None:
                opened_at = tag.start()
        elif opened_at is None:
            kept.clear()
            position = tag.end()
        else:
            kept.append(text[position:opened_at])
            position = tag.end()
            opened_at = None
    if opened_at is not None and not "".join([*kept, text[position:opened_at]]).strip():
        return "".join(kept)
    kept.append(text[position:])
    return "".join(kept)
