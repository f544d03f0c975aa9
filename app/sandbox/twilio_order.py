"""What a request to create or update a call asks for, read from its form."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from callwright.app.sandbox.twilio_wire import Form, TwilioError, check_from, check_to

EVENTS = ("initiated", "ringing", "answered", "completed")
RECORDING_EVENTS = ("in-progress", "completed", "absent")
MACHINE_DETECTION = ("", "Enable", "DetectMessageEnd")
LONGEST_CALL = 4 * 3600  # seconds, Twilio's cap
LONGEST_TWIML = 4000  # characters in the Twiml parameter


@dataclass(frozen=True, slots=True)
class Hook:
    """A URL the customer wants asked or told; "" when there is none."""

    url: str = ""
    method: str = "POST"

    @staticmethod
    def of(form: Form, name: str, code: int = 21205) -> "Hook":
        """Reads `{name}` and the method beside it (`UrlMethod` is called `Method`). Raises TwilioError."""
        url = form.get(name)
        method = (form.get("Method" if name == "Url" else name.replace("Url", "") + "Method") or "POST").upper()
        if url:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or "_" in parts.hostname:
                raise TwilioError(code, f"{name} is not a valid URL: {url}")
        if method not in ("GET", "POST"):
            raise TwilioError(21403, f"Invalid method for {name}: use GET or POST")
        return Hook(url, method)


@dataclass(frozen=True, slots=True)
class Order:
    """A validated `POST Calls.json`; times in seconds, thresholds in milliseconds."""

    to: str
    from_: str
    answer: Hook
    twiml: str
    fallback: Hook
    status: Hook
    status_events: frozenset[str]
    timeout: int
    time_limit: int
    record: bool
    recording_channels: int
    recording_track: str
    recording: Hook
    recording_events: frozenset[str]
    machine_detection: str
    async_amd: bool
    amd: Hook
    amd_timeout: int
    amd_speech_ms: int
    amd_end_ms: int
    amd_silence_ms: int

    @staticmethod
    def read(form: Form) -> "Order":
        """Raises TwilioError: 21201, 21211, 21212, 21213, 21205, 21218, 21403, 20001, 21234."""
        check_to(form.get("To"))
        check_from(form.get("From"))
        answer, twiml = Hook.of(form, "Url"), form.get("Twiml")
        if form.has("ApplicationSid") and not (answer.url or twiml):
            raise TwilioError(21218, f"Invalid ApplicationSid: {form.get('ApplicationSid')}")
        if not answer.url and not twiml:
            raise TwilioError(21205, "Url parameter is required")
        if len(twiml) > LONGEST_TWIML:
            raise TwilioError(20001, f"Invalid parameter Twiml: longer than {LONGEST_TWIML} characters")
        detection = form.get("MachineDetection")
        if detection not in MACHINE_DETECTION or form.has("SendDigits"):
            if not form.has("SendDigits"):
                raise TwilioError(21234, f"Invalid MachineDetection: {detection}")
            detection = ""
        return Order(
            to=form.get("To"),
            from_=form.get("From"),
            answer=answer,
            twiml="" if answer.url else twiml,
            fallback=Hook.of(form, "FallbackUrl"),
            status=Hook.of(form, "StatusCallback", 21609),
            status_events=frozenset(form.all("StatusCallbackEvent") or ["completed"]) & frozenset(EVENTS),
            timeout=form.seconds("Timeout", 60, 600),
            time_limit=form.seconds("TimeLimit", LONGEST_CALL, LONGEST_CALL),
            record=form.flag("Record"),
            recording_channels=2 if form.get("RecordingChannels") == "dual" else 1,
            recording_track=form.get("RecordingTrack", "both"),
            recording=Hook.of(form, "RecordingStatusCallback"),
            recording_events=frozenset(form.all("RecordingStatusCallbackEvent") or ["completed"])
            & frozenset(RECORDING_EVENTS),
            machine_detection=detection,
            async_amd=form.flag("AsyncAmd"),
            amd=Hook.of(form, "AsyncAmdStatusCallback"),
            amd_timeout=form.seconds("MachineDetectionTimeout", 30, 59),
            amd_speech_ms=form.seconds("MachineDetectionSpeechThreshold", 2400, 6000),
            amd_end_ms=form.seconds("MachineDetectionSpeechEndThreshold", 1200, 5000),
            amd_silence_ms=form.seconds("MachineDetectionSilenceTimeout", 5000, 10_000),
        )


@dataclass(frozen=True, slots=True)
class Update:
    """A validated `POST Calls/{sid}.json`."""

    status: str
    twiml: str
    answer: Hook

    @staticmethod
    def read(form: Form) -> "Update":
        """Raises TwilioError: 20001, 21205, 21218."""
        status = form.get("Status")
        if status not in ("", "canceled", "completed"):
            raise TwilioError(20001, "Invalid parameter Status: use canceled or completed")
        answer, twiml = Hook.of(form, "Url"), form.get("Twiml")
        if answer.url and twiml:
            raise TwilioError(20001, "Url and Twiml cannot be given together")
        return Update(status, twiml, answer)
