"""The second line behind the voice model: words that mean "no more calls"."""

import pytest

from callwright.app.compliance.optout import is_opt_out


@pytest.mark.parametrize(
    "text",
    [
        "Stop calling me.",
        "Would you please stop calling this number!",
        "STOP CALLING",
        "Stop.",
        "Please, stop!",
        "No. Stop, stop.",
        "Stop these calls please.",
        "¡Pare, por favor!",
        "Basta ya.",
        "Quit calling my house.",
        "I want you to stop contacting me",
        "Remove me from your list.",
        "Please take me off your calling list",
        "take my number off the list",
        "Don't call me again.",
        "Don’t call me anymore",
        "Do not contact me.",
        "do not ever call here again",
        "Never call me back.",
        "Put me on your do not call list.",
        "I don't want any more calls.",
        "No more calls, thank you.",
        "I don't want to be contacted.",
        "I'd like to opt out.",
        "unsubscribe me",
        "Lose my number.",
        "No me llame más.",
        "no me llamen por favor",
        "No nos vuelva a llamar.",
        "Quíteme de la lista.",
        "¡Quítame de tu lista!",
        "Borre mi número de su lista",
        "Deje de llamarme.",
        "Dejen de molestar",
        "No quiero que me llamen.",
    ],
)
def test_opt_outs(text: str) -> None:
    assert is_opt_out(text, "en")
    assert is_opt_out(text, "es")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello?",
        "Yes, please call me tomorrow.",
        "No, I don't need a roof.",
        "I'm not interested, thanks.",
        "You can stop by on Monday.",
        "Stop by tomorrow.",
        "Stop, who is this?",
        "Wait, stop there for a second.",
        "These contractors never call me back.",
        "I never got a call back from the last guy.",
        "Don't call me before nine, but afternoons are fine.",
        "Please don't call me at work.",
        "Can you take the old tiles off the roof?",
        "The water won't stop, call me when you're near.",
        "They told me to stop calling it a leak.",
        "My wife can't stop calling roofers.",
        "We got off the phone an hour ago.",
        "No me llamo Juan, me llamo Pedro.",
        "Todavía no me llamaron del seguro.",
        "Llámeme mañana, por favor.",
        "I didn't opt for the insurance.",
    ],
)
def test_everything_else(text: str) -> None:
    assert not is_opt_out(text, "en")
    assert not is_opt_out(text, "es")
