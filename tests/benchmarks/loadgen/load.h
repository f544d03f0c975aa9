/* Load for a phone-audio bridge: N Twilio Media Streams callers and the OpenAI Realtime server they are joined to, in
 * one epoll process, so that every latency is the difference of two readings of one monotonic clock. Loopback only. */
#ifndef LOAD_H
#define LOAD_H
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64; /* times are nanoseconds of the monotonic clock */

#define MS 1000000LL
#define SEC 1000000000LL
#define UNIT 160 /* bytes of a 20 ms mu-law frame */
#define FRAME_MS 20

typedef struct {
    int calls, bridge_port, model_port, pid, parallel, pcm24, barge_every, delta_ms;
    double secs, warm, speed, response_s, period_s, barge_after_s, drain_s, setup_s;
    const char *path, *label, *header, *starts;
} Options;
extern Options opt;

typedef struct {
    u32 *us;
    size_t n, capacity;
} Latencies;
void latency_add(Latencies *l, i64 ns);

/* What is counted over the whole run; latencies only within the window. */
typedef struct {
    u64 up_sent, up_received, up_lost, up_lost_setup, up_tail, up_reordered, up_corrupt, up_bad_bytes, appends;
    u64 down_sent, down_received, down_lost, down_undelivered, down_excused, down_reordered, down_corrupt;
    u64 down_bad_bytes, deltas, media, crosstalk, stale, barge_ins, barge_without_clear, clears, clears_unasked;
    u64 marks, marks_echoed, truncates, cancels, session_updates, response_creates, other_model, other_phone;
    u64 failed_setup, dropped, overflow, sessions, up_markers_sent, up_markers, down_markers;
} Counts;
extern Counts count;
extern Latencies up_latency, down_latency, down_first_latency, clear_latency, setup_latency, lag_latency;
extern i64 window_from, window_to; /* 0: not yet */
static inline int in_window(i64 t) { return window_from && t >= window_from && (!window_to || t < window_to); }

typedef struct Call Call;
typedef enum { LISTENER, PHONE, MODEL } Kind;
typedef enum { CONNECTING, HANDSHAKE, OPEN, CLOSED } State;
typedef struct {
    u8 *data;
    size_t length, capacity;
} Buffer;
void buffer_need(Buffer *b, size_t room);
void buffer_add(Buffer *b, const void *data, size_t n);
void buffer_drop(Buffer *b, size_t n); /* from the front */

typedef struct {
    int fd, wants_write;
    Kind kind;
    State state;
    Buffer in, out, fragments, unclaimed; /* unclaimed: audio before the call is known */
    size_t sent;                          /* of out */
    Call *call;
} Conn;

typedef struct {
    i64 due;
    char name[72];
} Mark;

struct Call {
    int index, ok, dead, given_up, media_on;
    Conn phone, *model;
    i64 connected_at;
    char stream_sid[40];
    /* up: phone -> model */
    u32 up_seq, up_expected;
    int up_seen;
    i64 up_sent_at[1024];
    Buffer up, down;
    /* down: model -> phone; one entry a delta */
    u32 down_seq, down_expected, delta_n, delta_capacity;
    i64 *delta_at;
    u8 *delta_first;
    u32 flushed_upto; /* units before this may be missing: a barge-in flushed them */
    enum { NO_BARGE, BARGED, CLEARED } barge;
    /* the model's script */
    i64 next_response, next_delta, barge_at, barge_sent_at, stop_at;
    int response_n, deltas_left, responding;
    u32 first_delta;
    /* the phone's playback */
    i64 play_end;
    Mark *mark;
    int marks, mark_capacity;
    /* loud markers, when bytes cannot survive (pcm24) */
    u32 up_quiet, down_quiet, down_marker;
    i64 up_marker_at, down_marker_at;
};
extern Call *calls;
extern int pending; /* calls being set up */
extern int stopping; /* 0 running, 1 draining, 2 hanging up */

/* codec.c */
void codec_init(void);
size_t base64_encode(const u8 *from, size_t n, char *to);
long base64_decode(const char *from, size_t n, u8 *to); /* -1: not base64 */
void websocket_accept(const char *key, size_t n, char accept[32]);
void unit_make(int down, u32 call, u32 seq, u8 *to);
int unit_read(int down, const u8 *from, u32 *call, u32 *seq); /* 0: no unit begins here; -1: damaged */
extern char silent_frame[256], loud_frame[256]; /* base64 of 20 ms mu-law */
extern int frame_chars;
extern char *loud_delta; /* base64 of one delta in 24 kHz PCM */
extern size_t loud_delta_chars;

/* wire.c */
i64 now_ns(void);
void loop_init(void);
void loop_add(Conn *c, u32 events);
int loop_wait(i64 timeout_ns);
void connection_close(Conn *c);
void raw_send(Conn *c, const void *data, size_t n);
void frame_send(Conn *c, int opcode, const void *data, size_t n);
void text_send(Conn *c, const char *text, int n);
void read_ready(Conn *c);
void write_ready(Conn *c);
void not_blocking(int fd);
void model_listen(int port);

/* phone.c */
void starts_load(const char *file);
void phone_start(int index, i64 now);
void phone_upgraded(Conn *c);
void phone_media(Call *c);
void phone_message(Call *c, const char *text, size_t n, i64 now);
void phone_play(Call *c, i64 now);
void phone_hang_up(Call *c);

/* model.c */
void model_upgraded(Conn *c);
void model_message(Conn *c, const char *text, size_t n, i64 now);
void model_step(Call *c, i64 now);
void model_expect(Call *c);

/* json.c: the string value of a key, without a full parse */
const char *json_string(const char *text, size_t n, const char *key, size_t *length);

/* report.c */
typedef struct {
    double process, busy, steal, softirq, own;
} Cpu;
Cpu cpu_now(void);
long rss_kb(void);
void report(double seconds, Cpu from, Cpu to, const long rss[3]);
#endif
