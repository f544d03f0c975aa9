/* The Twilio side: frames up at real time, playback and marks as a phone has them, every byte from the agent checked. */
#include "load.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static char **starts; /* line i: callSid<TAB>customParameters as JSON */
static int starts_n;

void starts_load(const char *file) {
    FILE *f = fopen(file, "r");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    if (!f) {
        perror(file);
        exit(2);
    }
    while ((n = getline(&line, &capacity, f)) > 0) {
        line[strcspn(line, "\r\n")] = 0;
        if (!*line) continue;
        starts = realloc(starts, (size_t)(starts_n + 1) * sizeof *starts);
        starts[starts_n++] = strdup(line);
    }
    free(line);
    fclose(f);
}

void phone_start(int index, i64 now) {
    Call *c = &calls[index];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((u16)opt.bridge_port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    c->index = index;
    snprintf(c->stream_sid, sizeof c->stream_sid, "MZ%032x", index + 1);
    c->connected_at = now;
    c->up_quiet = c->down_quiet = 1000000;
    c->phone = (Conn){.kind = PHONE, .state = CONNECTING, .call = c, .wants_write = 1};
    c->phone.fd = socket(AF_INET, SOCK_STREAM, 0);
    not_blocking(c->phone.fd);
    connect(c->phone.fd, (void *)&address, sizeof address);
    loop_add(&c->phone, EPOLLIN | EPOLLOUT);
    pending++;
    model_expect(c);
}

void phone_upgraded(Conn *conn) {
    static const char CONNECTED[] = "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}";
    Call *c = conn->call;
    char message[4096], call_sid[64];
    const char *parameters = "{}";
    snprintf(call_sid, sizeof call_sid, "CA%032d", c->index);
    if (starts_n) {
        const char *line = starts[c->index % starts_n], *tab = strchr(line, '\t');
        if (tab) {
            snprintf(call_sid, sizeof call_sid, "%.*s", (int)(tab - line), line);
            parameters = tab + 1;
        }
    }
    text_send(conn, CONNECTED, (int)sizeof CONNECTED - 1);
    int n = snprintf(message, sizeof message,
                     "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"start\":{\"accountSid\":\"AC%032d\","
                     "\"streamSid\":\"%s\",\"callSid\":\"%s\",\"tracks\":[\"inbound\"],\"mediaFormat\":"
                     "{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1},"
                     "\"customParameters\":%s},\"streamSid\":\"%s\"}",
                     0, c->stream_sid, call_sid, parameters, c->stream_sid);
    text_send(conn, message, n);
    c->media_on = 1;
}

void phone_media(Call *c) {
    char message[768];
    int n = snprintf(message, sizeof message,
                     "{\"event\":\"media\",\"sequenceNumber\":\"%u\",\"media\":{\"track\":\"inbound\",\"chunk\":\"%u\","
                     "\"timestamp\":\"%u\",\"payload\":\"",
                     c->up_seq + 2, c->up_seq + 1, c->up_seq * FRAME_MS);
    if (opt.pcm24) {
        int loud = c->up_seq % 25 == 0;
        memcpy(message + n, loud ? loud_frame : silent_frame, (size_t)frame_chars);
        n += frame_chars;
        if (loud) c->up_marker_at = now_ns(), count.up_markers_sent++;
    } else {
        u8 unit[UNIT];
        unit_make(0, (u32)c->index, c->up_seq, unit);
        n += (int)base64_encode(unit, UNIT, message + n);
    }
    n += snprintf(message + n, sizeof message - (size_t)n, "\"},\"streamSid\":\"%s\"}", c->stream_sid);
    c->up_sent_at[c->up_seq & 1023] = now_ns();
    c->up_seq++;
    count.up_sent++;
    text_send(&c->phone, message, n);
}

void phone_hang_up(Call *c) {
    char message[256];
    static const u8 NORMAL[2] = {3, 232};
    int n = snprintf(message, sizeof message,
                     "{\"event\":\"stop\",\"sequenceNumber\":\"%u\",\"stop\":{\"accountSid\":\"AC\",\"callSid\":\"CA\"},"
                     "\"streamSid\":\"%s\"}",
                     c->up_seq + 3, c->stream_sid);
    text_send(&c->phone, message, n);
    frame_send(&c->phone, 8, NORMAL, 2);
}

static void mark_echo(Call *c, const char *name) {
    char message[256];
    int n = snprintf(message, sizeof message,
                     "{\"event\":\"mark\",\"sequenceNumber\":\"%u\",\"streamSid\":\"%s\",\"mark\":{\"name\":\"%s\"}}",
                     c->up_seq + 2, c->stream_sid, name);
    text_send(&c->phone, message, n);
    count.marks_echoed++;
}

void phone_play(Call *c, i64 now) {
    int done = 0;
    while (done < c->marks && c->mark[done].due <= now) mark_echo(c, c->mark[done++].name);
    if (done) memmove(c->mark, c->mark + done, (size_t)(c->marks -= done) * sizeof(Mark));
}

static void delta_heard(Call *c, u32 delta, i64 now) {
    if (delta >= c->delta_n || !in_window(c->delta_at[delta])) return;
    latency_add(&down_latency, now - c->delta_at[delta]);
    if (c->delta_first[delta]) latency_add(&down_first_latency, now - c->delta_at[delta]);
}

/* Resampled audio: each loud onset after 60 ms of quiet is the beginning of a delta. */
static void markers_find(Call *c, const u8 *audio, size_t n, i64 now) {
    for (size_t i = 0; i < n; i++) {
        if ((~audio[i] & 0x7F) < 0x58) {
            c->down_quiet++;
            continue;
        }
        if (c->down_quiet > 480) {
            if (now - c->down_marker_at > 500 * MS) c->down_marker = c->first_delta;
            count.down_markers++;
            c->down_marker_at = now;
            delta_heard(c, c->down_marker++, now);
        }
        c->down_quiet = 0;
    }
}

static void unit_heard(Call *c, u32 seq, i64 now) {
    u32 units = (u32)opt.delta_ms / FRAME_MS;
    if (seq < c->down_expected) {
        count.down_reordered++;
        return;
    }
    for (u32 missing = c->down_expected; missing < seq; missing++)
        if (c->barge && missing < c->flushed_upto) count.down_excused++;
        else count.down_lost++;
    if (c->barge == CLEARED && seq < c->flushed_upto) count.stale++;
    c->down_expected = seq + 1;
    if (seq % units == 0) delta_heard(c, seq / units, now);
}

static void audio_heard(Call *c, const u8 *audio, size_t n, i64 now) {
    size_t at = 0;
    if (c->play_end < now) c->play_end = now;
    c->play_end += (i64)n * (SEC / 8000);
    if (opt.pcm24) {
        markers_find(c, audio, n, now);
        return;
    }
    buffer_add(&c->down, audio, n);
    while (c->down.length - at >= UNIT) {
        u32 call, seq;
        int found = unit_read(1, c->down.data + at, &call, &seq);
        if (!found) {
            count.down_bad_bytes++;
            at++;
            continue;
        }
        at += UNIT;
        count.down_received++;
        if (found < 0) count.down_corrupt++;
        if ((int)call != c->index) count.crosstalk++;
        else unit_heard(c, seq, now);
    }
    if (at) buffer_drop(&c->down, at);
}

static void cleared(Call *c, i64 now) {
    count.clears++;
    if (c->barge_sent_at) {
        if (in_window(c->barge_sent_at)) latency_add(&clear_latency, now - c->barge_sent_at);
        c->barge_sent_at = 0;
        c->barge = CLEARED;
    } else {
        count.clears_unasked++;
    }
    c->play_end = now;
    for (int i = 0; i < c->marks; i++) mark_echo(c, c->mark[i].name);
    c->marks = 0;
}

static void mark_queue(Call *c, const char *name, size_t n) {
    if (c->marks == c->mark_capacity) {
        c->mark_capacity = c->mark_capacity ? c->mark_capacity * 2 : 32;
        c->mark = realloc(c->mark, (size_t)c->mark_capacity * sizeof(Mark));
    }
    Mark *m = &c->mark[c->marks++];
    m->due = c->play_end;
    snprintf(m->name, sizeof m->name, "%.*s", (int)n, name);
    count.marks++;
}

void phone_message(Call *c, const char *text, size_t n, i64 now) {
    static u8 audio[1 << 20];
    size_t length = 0, value_length = 0;
    const char *event = json_string(text, n, "\"event\"", &length), *value;
    if (event && length == 5 && !memcmp(event, "media", 5)) {
        count.media++;
        value = json_string(text, n, "\"payload\"", &value_length);
        long decoded = value ? base64_decode(value, value_length, audio) : -1;
        if (decoded < 0) count.down_corrupt++;
        else audio_heard(c, audio, (size_t)decoded, now);
    } else if (event && length == 5 && !memcmp(event, "clear", 5)) {
        cleared(c, now);
    } else if (event && length == 4 && !memcmp(event, "mark", 4)) {
        value = json_string(text, n, "\"name\"", &value_length);
        mark_queue(c, value ? value : "", value_length);
    } else {
        count.other_phone++;
    }
}
