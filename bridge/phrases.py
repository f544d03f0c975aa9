"""The words by which answering machines and call-screening assistants give themselves away (English, Spanish,
carriers' texts).
"""

import re
import unicodedata
from enum import StrEnum


class Machine(StrEnum):
    VOICEMAIL = "voicemail"
    UNREACHABLE = "unreachable"  # a machine that takes no message
    SCREENING = "screening"


# Name -> pattern over plain lower-case text without accents. Names go to the evidence, words never do.
_SCREENING = {
    "state_name_and_reason": (
        r"\b(?:say|state|give|tell me|record) your name\b.{0,40}\b(?:why|reason|purpose"
        r"|calling)\b"
    ),
    "who_is_calling_and_why": r"\b(?:screening (?:service|assistant)|using a screening|call (?:screening|assist))\b",
    "see_if_available": (
        r"\b(?:i'?ll|i will|let me) (?:see|check|find out) if (?:this person|they|he|she|\w+) (?:is|are)?"
        r" ?available\b"
    ),
    "google_assistant": r"\bgoogle (?:assistant|voice)\b.{0,60}\b(?:call|name|person)",
    "diga_su_nombre": r"\b(?:diga|indique|grabe) su nombre\b.{0,40}\b(?:motivo|razon|llamada|llama)\b",
}
_UNREACHABLE = {
    "mailbox_full": (
        r"\b(?:mail ?box|voice ?mail(?: box)?|inbox)(?: \w+){0,4} (?:is|'s) (?:currently )?full\b"
        r"|\b(?:can ?not|can'?t|unable to|not able to|not) (?:currently )?(?:accept|record)(?:ing)?"
        r" (?:any |new |more |additional )*messages\b"
    ),
    "not_set_up": (
        r"\b(?:voice ?mail(?: box)?|mail ?box)(?: \w+){0,6} (?:has not|hasn'?t|is not|isn'?t|have not)"
        r" (?:yet )?(?:been )?(?:set ?up|initialized|activated|available)\b"
    ),
    "no_such_number": (
        r"\b(?:number|line)(?: \w+){0,6} (?:(?:has been|is) (?:\w+ )?(?:disconnected|changed|unassigned)"
        r"|is (?:not|no longer) (?:in service|a working number|working|valid|assigned|in use)|is (?:an )?invalid)\b"
    ),
    "cannot_be_completed": (
        r"\b(?:your )?calls? (?:can ?not|can'?t|could not) be (?:completed|connected)\b"
        r"|\ball circuits are (?:currently |now )?busy\b"
    ),
    "not_accepting_calls": (
        r"\b(?:is|are) not (?:currently )?(?:accepting|receiving|able to receive) (?:\w+ )?calls\b"
        r"|\bdoes not (?:have|subscribe to) (?:a )?(?:voice ?mail|this service)\b"
    ),
    "buzon_lleno": (
        r"\bbuzon(?: \w+){0,4} (?:esta )?llen[oa]\b|\bno (?:puede|acepta) (?:\w+ )?(?:mas |nuevos )*mensajes\b"
    ),
    "buzon_sin_activar": (
        r"\bbuzon(?: \w+){0,5} no (?:ha sido|esta|se ha) (?:\w+ )?(?:activado|configurado|habilitado)\b"
    ),
    "numero_inexistente": (
        r"\bnumero(?: \w+){0,6} (?:no existe|no esta (?:en servicio|asignado)|(?:se encuentra |esta )?"
        r"(?:fuera de servicio|desconectado)|ha (?:sido )?cambiado|no corresponde)\b"
    ),
    "no_se_completa": r"\bllamada no (?:puede|pudo|se puede) (?:ser )?(?:completad|complet|realizad|establec)\w*",
}
_VOICEMAIL = {
    "leave_a_message": (
        r"(?<!want to )(?<!like to )(?<!wanna )\b(?:leave|record) (?:me |us |him |her |them )?(?:a |your"
        r" )?(?:brief |short |detailed |quick )?(?:name|number|message|voicemail)\b(?! with\b)"
    ),
    "after_the_tone": r"\b(?:after|at|wait for) the (?:tone|beep)\b",
    "reached_voicemail": (
        r"\b(?:you(?:'ve| have)|you) reached (?:the )?(?:voice ?mail|answering|mailbox)|\bvoice ?mail(?:box)?"
        r" (?:of|for|service|system)\b"
    ),
    "mailbox": r"\b(?:mailbox|voice messag\w+ system|automatic voice|automated voice messaging)\b",
    "forwarded": r"\b(?:your call|call) has been forwarded\b",
    "cannot_take_call": (
        r"\b(?:can'?t|cannot|unable to|not able to|can not) (?:come to|take|get to|answer) (?:the|your|my)"
        r" (?:phone|call)\b"
    ),
    "not_available": (
        r"\bavailable to (?:take|answer) (?:your|the|this) call\b|\bnot available\b.{0,30}\b(?:record|leave"
        r"|tone)\b"
    ),
    "get_back": r"\b(?:i'?ll|we'?ll|i will|we will) (?:get back to you|return your call)\b.{0,40}\bas soon as\b",
    "carrier_not_available": (
        r"\b(?:number|person|party|customer|subscriber|user) you(?: \w+){0,6} (?:is|are) (?:currently |temporarily )?"
        r"(?:not available|unavailable|not reachable|unable to (?:take|receive)|switched off|turned off)\b"
    ),
    "subscriber": (
        r"\b(?:wireless customer|the (?:person|party|subscriber|customer|google subscriber) you (?:are|have"
        r"|'?re) (?:calling|called|dialed|trying))\b"
    ),
    "hang_up_or_press": (
        r"\bwhen you(?:'ve| have|'re| are) (?:finished|done)(?: recording)?\b.{0,40}\b(?:hang"
        r" up|press)\b"
    ),
    "deje_su_mensaje": r"\b(?:dej[ea]\w*|grab[ea]\w*) (?:su|tu|un|el|me) ?(?:un )?(?:mensaje|recado|nombre)\b",
    "despues_del_tono": r"\b(?:despues|luego) (?:de oir )?(?:del|de la|el|de el) (?:tono|senal|bip)\b",
    "buzon": r"\bbuzon (?:de voz|de mensajes)\b",
    "abonado": (
        r"\b(?:numero|abonado|usuario|cliente|persona)(?: \w+){0,8} (?:no (?:esta|se encuentra) disponible"
        r"|(?:esta |se encuentra )?(?:apagado|fuera de (?:cobertura|servicio temporal)))\b"
    ),
    "buzon_automatico": r"\b(?:sistema|servicio) de mensajes\b|\bcorreo de voz\b|\bcontestador automatico\b",
    "no_disponible": (
        r"\bno (?:esta disponible|se encuentra disponible|puedo (?:atender|contestar)|podemos (?:atender"
        r"|contestar))\b"
    ),
}
_TABLES = (
    (Machine.UNREACHABLE, tuple((name, re.compile(pattern)) for name, pattern in _UNREACHABLE.items())),
    (Machine.SCREENING, tuple((name, re.compile(pattern)) for name, pattern in _SCREENING.items())),
    (Machine.VOICEMAIL, tuple((name, re.compile(pattern)) for name, pattern in _VOICEMAIL.items())),
)


def match_machine(text: str) -> tuple[Machine, str] | None:
    """The kind of machine that speaks so, and the name of the phrase; None when nothing tells. That no message is
    possible wins over screening, and that over voicemail.
    """
    folded = unicodedata.normalize("NFKD", text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain = " ".join(re.sub(r"[^\w' ]+", " ", "".join(c for c in folded if not unicodedata.combining(c))).split())
    for machine, patterns in _TABLES:
        for name, pattern in patterns:
            if pattern.search(plain):
                return machine, name
    return None


_HOLDING = re.compile(
    r"\b(?:stay|hold|wait|remain) (?:on )?(?:the line|on)\b|\bplease (?:hold|wait)\b"
    r"|\b(?:one|just a) (?:moment|second)\b"
    r"|\b(?:connecting|transferring) (?:you|your call)\b|\b(?:no cuelgue|un momento|espere)\b"
)


def is_holding(text: str) -> bool:
    """Whether a screening assistant asks the caller to wait, so no person is on the line yet."""
    return _HOLDING.search(text.lower()) is not None
