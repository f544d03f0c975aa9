"""Recognises a person's wish not to be called again, as a second line behind the voice model's own judgement.

Errs towards opting out: a wrong suppression costs a lead, a missed one breaks the law (47 CFR 64.1200(a)(10): any
reasonable means).
"""

import re
import unicodedata

_CALL = (
    r"(?:call(?:ing)?|phon(?:e|ing)|ring(?:ing)?|contact(?:ing)?|text(?:ing)?|messag(?:e|ing)"
    r"|bother(?:ing)?|harass(?:ing)?)"
)
_CALLING = r"(?:calling|phoning|ringing|contacting|texting|messaging|bothering|harassing)"
_ME = r"(?:me|us|here|this (?:number|phone)|my (?:number|phone|house|home|cell))"
_NOT = r"(?:do not|don'?t|never|please not|quit|stop)"
_NOT_NOW = (
    r"(?:before|until|till|on (?:mon|tues|wednes|thurs|fri|satur|sun)|at (?:work|night|the office)"
    r"|so (?:early|late)|after \d)"
)

# Not an opt-out although the words are near: a time is given, or it is told of others.
_ENGLISH_SOFT = re.compile(
    rf"\b(?:do not|don'?t) {_CALL} {_ME} {_NOT_NOW}"
    r"|\b(?:can'?t|cannot|never) stop calling"
    r"|\b(?:they|he|she|who|nobody|people|guys|companies|contractors|roofers) never (?:call|contact|phone)"
)
_ENGLISH = re.compile(
    "|".join(
        (
            rf"\b(?:stop|quit) (?:\w+ )?{_CALLING}(?! (?:it|them|him|her)\b)",
            rf"\b{_NOT} (?:ever )?(?:{_CALL}) {_ME}\b",
            rf"\b{_NOT} (?:ever )?{_CALL} (?:again|anymore|any more|back)\b",
            r"\b(?:remove|delete|take|get|drop) (?:me|us|my (?:number|name|info|information)|this number)\b"
            r".{0,24}\b(?:from|off|out of)\b",
            r"\b(?:take|get) (?:me|us) off\b",
            r"\bdo[- ]not[- ]call\b(?=.{0,12}(?:list|registry|$))",
            r"\b(?:no more|i don'?t want(?: any| more| of| these| your)+) (?:phone )?calls\b",
            r"\bi (?:do not|don'?t) want (?:you )?"
            r"(?:to (?:be (?:called|contacted)|receive (?:any )?(?:more )?calls|call me))\b",
            r"\b(?:opt(?:ing)? (?:me )?out|unsubscribe)\b",
            r"\blose (?:my|this) number\b",
            r"\bnever (?:call|contact|phone)\b",
        )
    )
)
_SPANISH = re.compile(
    "|".join(
        (
            r"\b(?:no|nunca) (?:me|nos) (?:vuelvan? a |vuelvas a )?(?:llam\w+|contact\w+|molest\w+|escrib\w+)",
            r"\bno (?:vuelvan?|vuelvas) a (?:llamar|contactar|molestar)",
            r"\b(?:dej[ea]n?|par[ea]n?) de (?:llamar|contactar|molestar)",
            r"\b(?:quit\w+|borr\w+|sac\w+|elimin\w+) (?:mi (?:numero|nombre) )?(?:de )?(?:la|su|tu|esa|esta) lista",
            r"\bno quiero (?:mas|que me) (?:llam\w+)",
            r"\bno llam(?:e|en|es) (?:mas|nunca)",
        )
    )
)


# The whole of an utterance: what the opening offers people to say ("say stop"), in one word.
_BARE_STOP = re.compile(
    r"(?:(?:please|just|okay|ok|no|yes|hey|por favor|si) (?:\| )?)*"
    r"(?:stop|stop it|stop (?:this|these|the|your) calls?|basta|pare|paren|alto|baja)"
    r"(?: (?:\| )?(?:please|now|por favor|ya|stop))*"
)


def is_opt_out(text: str, language: str) -> bool:
    """Whether the words ask for no more calls.

    `language` is the call's ISO 639-1 code; English and Spanish are always tried, as people change languages.
    """
    plain = _plain(text)
    if _BARE_STOP.fullmatch(plain):
        return True
    if _ENGLISH.search(plain) and not _ENGLISH_SOFT.search(plain):
        return True
    # "no me llamo Juan" (my name is not Juan) and "no me llamaron" (nobody called me) are statements, not requests.
    match = _SPANISH.search(plain)
    return match is not None and not re.match(r"no (?:me|nos) llam(?:o|aron|aba\w*|ado)\b", match.group())


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    letters = "".join(char for char in folded if not unicodedata.combining(char))
    # Punctuation stays as a bar: "it won't stop, call me" must not read as "stop call me".
    return " ".join(re.sub(r"[^\w'\- ]+", " | ", letters).split()).strip(" |")
