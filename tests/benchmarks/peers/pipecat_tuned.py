"""Pipecat's own Twilio and realtime pipeline with everything dear switched off: logs, metrics, RTVI, turn tracking.

Without the aggregators Pipecat sends no interruption, so they stay. Its realtime service has no mu-law path: audio is
resampled to 24 kHz and back. PHONE_PORT and MODEL_URL come from the environment; run in a virtual environment of its
own.
"""

import os

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.realtime.events import AudioConfiguration, AudioInput, SessionProperties, TurnDetection
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

logger.remove()
logger.disable("pipecat")


def _service() -> OpenAIRealtimeLLMService:
    audio = AudioConfiguration(input=AudioInput(turn_detection=TurnDetection()))
    return OpenAIRealtimeLLMService(
        api_key="test",
        base_url=os.environ["MODEL_URL"].split("?")[0],
        settings=OpenAIRealtimeLLMService.Settings(
            system_instruction="You are a phone agent.", session_properties=SessionProperties(audio=audio)
        ),
    )


async def media_stream(phone: WebSocket) -> None:
    await phone.accept()
    _, call = await parse_telephony_websocket(phone)
    serializer = TwilioFrameSerializer(
        stream_sid=call["stream_id"],
        call_sid=call["call_id"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=phone,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, add_wav_header=False, serializer=serializer
        ),
    )
    user, assistant = LLMContextAggregatorPair(LLMContext([{"role": "developer", "content": "Say hello!"}]))
    worker = PipelineWorker(
        Pipeline([transport.input(), user, _service(), transport.output(), assistant]),
        params=PipelineParams(
            audio_in_sample_rate=8000, audio_out_sample_rate=8000, enable_metrics=False, enable_usage_metrics=False
        ),
        enable_rtvi=False,
        enable_turn_tracking=False,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)

    async def connected(*_: object) -> None:
        await worker.queue_frames([LLMRunFrame()])

    async def disconnected(*_: object) -> None:
        await runner.cancel()

    transport.add_event_handler("on_client_connected", connected)
    transport.add_event_handler("on_client_disconnected", disconnected)
    await runner.run()


if __name__ == "__main__":
    app = FastAPI()
    app.add_api_websocket_route("/media-stream", media_stream)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PHONE_PORT"]), log_level="warning", loop="uvloop")
