/* The OpenAI Realtime side: scripted responses at four times real time, barge-ins, and what is appended checked. */
#include "load.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static char message[1 << 17];
static u64 event_n;
static Call **expected; /* pcm24: sessions are told apart by their order alone */
static int expected_from, expected_to;

void model_expect(Call *c) {
    if (!opt.pcm24) return;
    if (!expected) expected = calloc((size_t)opt.calls, sizeof *expected);
    expected[expected_to++] = c;
}

static const char *format_name(void) {
    return opt.pcm24 ? "{\"type\":\"audio/pcm\",\"rate\":24000}" : "{\"type\":\"audio/pcmu\"}";
}

/* Sends {"type":TYPE,"event_id":…,REST}. */
static void event_send(Conn *c, const char *type, const char *rest, ...) {
    va_list values;
    int n = snprintf(message, sizeof message, "{\"type\":\"%s\",\"event_id\":\"event_%llu\",", type,
                     (unsigned long long)++event_n);
    va_start(values, rest);
    n += vsnprintf(message + n, sizeof message - (size_t)n, rest, values);
    va_end(values);
    message[n++] = '}';
    text_send(c, message, n);
}

static void session_send(Conn *c, const char *type) {
    event_send(c, type,
               "\"session\":{\"type\":\"realtime\",\"object\":\"realtime.session\",\"id\":\"sess_%d\","
               "\"model\":\"gpt-realtime\",\"output_modalities\":[\"audio\"],\"instructions\":\"You are a phone agent.\","
               "\"tools\":[],\"tool_choice\":\"auto\",\"max_output_tokens\":\"inf\",\"tracing\":null,\"prompt\":null,"
               "\"expires_at\":1999999999,\"audio\":{\"input\":{\"format\":%s,\"transcription\":null,"
               "\"noise_reduction\":null,\"turn_detection\":{\"type\":\"server_vad\",\"threshold\":0.5,"
               "\"prefix_padding_ms\":300,\"silence_duration_ms\":200,\"idle_timeout_ms\":null,"
               "\"create_response\":true,\"interrupt_response\":true}},\"output\":{\"format\":%s,\"voice\":\"marin\","
               "\"speed\":1.0}},\"include\":null}",
               c->fd, format_name(), format_name());
}

void model_upgraded(Conn *c) {
    if (opt.pcm24 && expected_from < expected_to) {
        c->call = expected[expected_from++];
        c->call->model = c;
    }
    session_send(c, "session.created");
}

static void response_object(char *to, size_t room, const Call *c, const char *status) {
    static const char USAGE[] =
        "{\"total_tokens\":300,\"input_tokens\":100,\"output_tokens\":200,\"input_token_details\":"
        "{\"text_tokens\":50,\"audio_tokens\":50,\"image_tokens\":0,\"cached_tokens\":0,\"cached_tokens_details\":"
        "{\"text_tokens\":0,\"audio_tokens\":0,\"image_tokens\":0}},\"output_token_details\":{\"text_tokens\":50,"
        "\"audio_tokens\":150}}";
    snprintf(to, room,
             "\"response\":{\"object\":\"realtime.response\",\"id\":\"resp_%d_%d\",\"status\":\"%s\","
             "\"status_details\":null,\"output\":[],\"conversation_id\":\"conv_%d\",\"output_modalities\":[\"audio\"],"
             "\"max_output_tokens\":\"inf\",\"audio\":{\"output\":{\"format\":%s,\"voice\":\"marin\"}},\"usage\":%s,"
             "\"metadata\":null}",
             c->index, c->response_n, status, c->index, format_name(), strcmp(status, "completed") ? "null" : USAGE);
}

static void item_send(Call *c, const char *type, const char *before, const char *status, const char *content) {
    event_send(c->model, type,
               "%s\"item\":{\"id\":\"item_%d_%d\",\"object\":\"realtime.item\",\"type\":\"message\",\"status\":\"%s\","
               "\"role\":\"assistant\",\"content\":[%s]}",
               before, c->index, c->response_n, status, content);
}

static void part_send(Call *c, const char *type, const char *rest) {
    event_send(c->model, type,
               "\"response_id\":\"resp_%d_%d\",\"item_id\":\"item_%d_%d\",\"output_index\":0,\"content_index\":0%s",
               c->index, c->response_n, c->index, c->response_n, rest);
}

static void response_begin(Call *c, i64 now) {
    char object[2048], before[96];
    c->response_n++;
    c->responding = 1;
    c->deltas_left = (int)(opt.response_s * 1000 / opt.delta_ms);
    c->next_delta = now;
    c->first_delta = c->delta_n;
    c->barge_at = opt.barge_every && c->response_n % opt.barge_every == 0 ? now + (i64)(opt.barge_after_s * SEC) : 0;
    response_object(object, sizeof object, c, "in_progress");
    event_send(c->model, "response.created", "%s", object);
    snprintf(before, sizeof before, "\"response_id\":\"resp_%d_%d\",\"output_index\":0,", c->index, c->response_n);
    item_send(c, "response.output_item.added", before, "in_progress", "");
    item_send(c, "conversation.item.added", "\"previous_item_id\":null,", "in_progress", "");
    part_send(c, "response.content_part.added", ",\"part\":{\"type\":\"audio\",\"transcript\":\"\"}");
}

static void response_end(Call *c) {
    char object[2048], before[96];
    c->responding = 0;
    part_send(c, "response.output_audio.done", "");
    part_send(c, "response.output_audio_transcript.done", ",\"transcript\":\"all the words of this turn\"");
    part_send(c, "response.content_part.done",
              ",\"part\":{\"type\":\"audio\",\"transcript\":\"all the words of this turn\"}");
    snprintf(before, sizeof before, "\"response_id\":\"resp_%d_%d\",\"output_index\":0,", c->index, c->response_n);
    item_send(c, "response.output_item.done", before, "completed",
              "{\"type\":\"output_audio\",\"transcript\":\"all the words of this turn\"}");
    response_object(object, sizeof object, c, "completed");
    event_send(c->model, "response.done", "%s", object);
}

static u32 delta_note(Call *c) {
    if (c->delta_n == c->delta_capacity) {
        c->delta_capacity = c->delta_capacity ? c->delta_capacity * 2 : 256;
        c->delta_at = realloc(c->delta_at, c->delta_capacity * sizeof *c->delta_at);
        c->delta_first = realloc(c->delta_first, c->delta_capacity);
    }
    c->delta_first[c->delta_n] = c->delta_n == c->first_delta;
    return c->delta_n++;
}

static void delta_send(Call *c) {
    static u8 audio[1 << 16];
    static char payload[1 << 17];
    u32 units = (u32)opt.delta_ms / FRAME_MS, delta = delta_note(c);
    size_t n = loud_delta_chars;
    const char *encoded = loud_delta;
    if (opt.pcm24) {
        c->down_seq += units;
    } else {
        for (u32 i = 0; i < units; i++) unit_make(1, (u32)c->index, c->down_seq++, audio + UNIT * i);
        n = base64_encode(audio, UNIT * units, payload);
        encoded = payload;
    }
    count.down_sent += units;
    count.deltas++;
    c->delta_at[delta] = now_ns();
    event_send(c->model, "response.output_audio.delta",
               "\"response_id\":\"resp_%d_%d\",\"item_id\":\"item_%d_%d\",\"output_index\":0,\"content_index\":0,"
               "\"delta\":\"%.*s\"",
               c->index, c->response_n, c->index, c->response_n, (int)n, encoded);
    part_send(c, "response.output_audio_transcript.delta", ",\"delta\":\" word\"");
}

static void barge_in(Call *c, i64 now) {
    c->barge_at = 0;
    count.barge_ins++;
    c->barge = BARGED;
    if (c->responding) response_end(c);
    c->flushed_upto = c->down_seq;
    c->stop_at = now + 300 * MS;
    c->barge_sent_at = now_ns();
    event_send(c->model, "input_audio_buffer.speech_started", "\"audio_start_ms\":%u,\"item_id\":\"item_u%d_%d\"",
               c->up_seq * FRAME_MS, c->index, c->response_n);
}

static void person_stops(Call *c) {
    c->stop_at = 0;
    event_send(c->model, "input_audio_buffer.speech_stopped", "\"audio_end_ms\":%u,\"item_id\":\"item_u%d_%d\"",
               c->up_seq * FRAME_MS, c->index, c->response_n);
    event_send(c->model, "input_audio_buffer.committed", "\"previous_item_id\":null,\"item_id\":\"item_u%d_%d\"",
               c->index, c->response_n);
}

void model_step(Call *c, i64 now) {
    if (!c->ok || !c->model || c->model->state != OPEN) return;
    if (c->responding && now >= c->next_delta) {
        delta_send(c);
        c->next_delta += (i64)(opt.delta_ms * MS / opt.speed);
        if (--c->deltas_left == 0) response_end(c);
    }
    if (c->barge_at && now >= c->barge_at) barge_in(c, now);
    if (c->stop_at && now >= c->stop_at) person_stops(c);
    if (!stopping && now >= c->next_response) {
        c->next_response += (i64)(opt.period_s * SEC);
        if (!c->responding) response_begin(c, now);
    }
}

static void call_ready(Call *c, i64 now) {
    if (c->ok) return;
    c->ok = 1;
    pending--;
    latency_add(&setup_latency, now - c->connected_at);
    /* Spread over the period, so that the calls do not speak in step. */
    c->next_response = now + 300 * MS + c->index % 50 * (i64)(opt.period_s * SEC / 50);
}

static void samples_heard(Call *c, const u8 *audio, size_t n, i64 now) {
    call_ready(c, now);
    for (size_t i = 0; i + 1 < n; i += 2) {
        int sample = (int16_t)(audio[i] | audio[i + 1] << 8);
        if (abs(sample) <= 8000) {
            c->up_quiet++;
            continue;
        }
        if (c->up_quiet > 2400) {
            count.up_markers++;
            count.up_received += 25;
            if (in_window(c->up_marker_at)) latency_add(&up_latency, now - c->up_marker_at);
        }
        c->up_quiet = 0;
    }
}

static void frame_heard(Call *c, u32 seq, i64 now) {
    if (seq < c->up_expected) {
        count.up_reordered++;
        return;
    }
    if (c->up_seen) count.up_lost += seq - c->up_expected;
    else count.up_lost_setup += seq - c->up_expected;
    c->up_seen = 1;
    c->up_expected = seq + 1;
    if (c->up_seq - seq < 1024 && in_window(c->up_sent_at[seq & 1023]))
        latency_add(&up_latency, now - c->up_sent_at[seq & 1023]);
}

/* The session's call is the one whose number its first frame carries. */
static Call *claim(Conn *conn) {
    u32 call, seq;
    if (unit_read(0, conn->unclaimed.data, &call, &seq) != 1) {
        count.up_corrupt++;
        return NULL;
    }
    if (call >= (u32)opt.calls || calls[call].model) {
        count.crosstalk++;
        return NULL;
    }
    conn->call = &calls[call];
    conn->call->model = conn;
    return conn->call;
}

static void audio_appended(Conn *conn, const u8 *audio, size_t n, i64 now) {
    Call *c = conn->call;
    size_t at = 0;
    if (opt.pcm24) {
        if (c) samples_heard(c, audio, n, now);
        return;
    }
    buffer_add(&conn->unclaimed, audio, n);
    if (conn->unclaimed.length < UNIT) return;
    if (!c && !(c = claim(conn))) {
        conn->unclaimed.length = 0;
        return;
    }
    call_ready(c, now);
    while (conn->unclaimed.length - at >= UNIT) {
        u32 call, seq;
        int found = unit_read(0, conn->unclaimed.data + at, &call, &seq);
        if (!found) {
            count.up_bad_bytes++;
            at++;
            continue;
        }
        at += UNIT;
        count.up_received++;
        if (found < 0) count.up_corrupt++;
        if ((int)call != c->index) count.crosstalk++;
        else frame_heard(c, seq, now);
    }
    buffer_drop(&conn->unclaimed, at);
}

void model_message(Conn *c, const char *text, size_t n, i64 now) {
    static u8 audio[1 << 20];
    size_t length = 0;
    if (memmem(text, n, "\"input_audio_buffer.append\"", 27)) {
        const char *payload = json_string(text, n, "\"audio\"", &length);
        long decoded = payload ? base64_decode(payload, length, audio) : -1;
        count.appends++;
        if (decoded < 0) count.up_corrupt++;
        else audio_appended(c, audio, (size_t)decoded, now);
    } else if (memmem(text, n, "\"session.update\"", 16)) {
        count.session_updates++;
        session_send(c, "session.updated");
    } else if (memmem(text, n, "\"conversation.item.truncate\"", 28)) {
        count.truncates++;
    } else if (memmem(text, n, "\"response.cancel\"", 17)) {
        count.cancels++;
    } else if (memmem(text, n, "\"response.create\"", 17)) {
        count.response_creates++;
    } else {
        count.other_model++;
    }
}
