"""Makes the words that the bridge plays without a model: `python -m callwright.app.sandbox.spare_lines FOLDER`.

Reads the texts from `call_back.json` in the folder (language -> text) and writes `call_back_<language>.ulaw` beside it.
The same texts give the same bytes on every machine with the same eSpeak NG.
"""

import json
import sys
from pathlib import Path

from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.speech import Speaker

VOICES = {"en": "en-us+f3", "es": "es+f3"}
WORDS_PER_MINUTE = 160


def make(folder: Path) -> None:
    """Raises KeyError for a language without a voice."""
    speaker = Speaker(Ear())
    texts: dict[str, str] = json.loads((folder / "call_back.json").read_text(encoding="utf-8"))
    for language, text in texts.items():
        spoken = speaker.say(text, VOICES[language], rate_wpm=WORDS_PER_MINUTE)
        (folder / f"call_back_{language}.ulaw").write_bytes(spoken.audio)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
