"""Writes the model of the recording to the path in the first argument: a scripted model as those of the tests, with the answers
below and large layers of zeros, so that a token takes about as long as one of a real model."""

import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "test/real/models"))
from make import build

# A word of the last message, and the answer to it.
ANSWERS = {
    "letter": "Ada's plum tree survived the storm. She hopes that you visit her in August.",
    "sky": "<think>The question is about scattering. One sentence will do.</think>"
    "\n\nAir scatters blue light far more than red light, so it reaches your eyes from everywhere.",
    "poem": "<think>A poem, then. It begins in the morning.</think>"
    "\n\nWhen morning opened wide its eye\nit poured a pale and patient blue\nacross the fields, above the town,\n"
    "and every window let it through.\n\nAt noon that color, deep and clear,\nhung higher than the swallows flew.",
}

# The last token of the prompt decides which answer follows.
BEGINNINGS = {word: f"<|{word}|>" for word in ANSWERS}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' and m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>"
    + "".join(f"{{% if '{word}' in messages[-1].content %}}{token}{{% endif %}}" for word, token in BEGINNINGS.items())
    + "{% endif %}"
)

taken: set[str] = set()


def split(text: str) -> list[str]:
    """Words with the space before them. Each token has one successor, so a word that was used before is joined with the next one."""
    pieces = []
    piece = ""
    for word in re.findall(r"\s*\S+", text):
        piece += word
        if piece not in taken:
            taken.add(piece)
            pieces.append(piece)
            piece = ""
    assert piece == "", f"the last words are not unique: {piece}"
    return pieces


answers = {BEGINNINGS[word]: split(answer) for word, answer in ANSWERS.items()}
build(
    sys.argv[1],
    answers[BEGINNINGS["sky"]],
    template=TEMPLATE,
    specials=["<|user|>", "<|assistant|>", "<|system|>", "<|end|>", *BEGINNINGS.values()],
    answers=list(answers.items()),
    ffn=12288,
    # The server computes the last block for the last token of a prompt only, so a single one would make prompts too fast.
    blocks=2,
)
