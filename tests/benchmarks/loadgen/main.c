/* loadgen --calls 50 --secs 10 --bridge-port 9100 --model-port 9200 --pid BRIDGE: prints one JSON object. */
#include "load.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP 250000LL /* ns: the grain of the schedule; a call has one of 80 steps in 20 ms */
#define SLOTS 80
#define HANG_UP_SECONDS 4

Options opt = {.calls = 10, .bridge_port = 9100, .model_port = 9200, .parallel = 4, .barge_every = 2, .delta_ms = 200,
               .secs = 10, .warm = 2, .speed = 4, .response_s = 4, .period_s = 5, .barge_after_s = 1.5, .drain_s = 6,
               .setup_s = 10, .path = "/media-stream", .label = "", .header = "", .starts = ""};
Counts count;
Latencies up_latency, down_latency, down_first_latency, clear_latency, setup_latency, lag_latency;
i64 window_from, window_to;
Call *calls;
int pending, stopping;

typedef struct {
    Call **call;
    int n, capacity;
} Slot;
static Slot slots[SLOTS];
static int started, abandoned;
static i64 last_start;

static void option(const char *name, const char *value) {
    const struct { const char *name; int *to; } numbers[] = {
        {"--calls", &opt.calls}, {"--bridge-port", &opt.bridge_port}, {"--model-port", &opt.model_port},
        {"--pid", &opt.pid}, {"--par", &opt.parallel}, {"--barge-every", &opt.barge_every},
        {"--delta-ms", &opt.delta_ms}};
    const struct { const char *name; double *to; } reals[] = {
        {"--secs", &opt.secs}, {"--warm", &opt.warm}, {"--speed", &opt.speed}, {"--resp", &opt.response_s},
        {"--period", &opt.period_s}, {"--barge-after", &opt.barge_after_s}, {"--drain", &opt.drain_s},
        {"--setup-timeout", &opt.setup_s}};
    const struct { const char *name, **to; } texts[] = {
        {"--path", &opt.path}, {"--label", &opt.label}, {"--header", &opt.header}, {"--starts", &opt.starts}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(name, numbers[i].name)) {
            *numbers[i].to = atoi(value);
            return;
        }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (!strcmp(name, reals[i].name)) {
            *reals[i].to = atof(value);
            return;
        }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(name, texts[i].name)) {
            *texts[i].to = value;
            return;
        }
    if (!strcmp(name, "--fmt")) {
        opt.pcm24 = !strcmp(value, "pcm24");
        return;
    }
    fprintf(stderr, "unknown option %s\n", name);
    exit(2);
}

static void tick(Call *c, i64 now, i64 scheduled) {
    if (c->dead || c->phone.state != OPEN) return;
    if (c->media_on && !stopping) {
        if (in_window(now)) latency_add(&lag_latency, now - scheduled);
        phone_media(c);
    }
    phone_play(c, now);
    model_step(c, now);
}

static void start_next(i64 now) {
    if (abandoned || started == opt.calls || pending >= opt.parallel || now - last_start < 2 * MS) return;
    Slot *slot = &slots[started * 31 % SLOTS];
    if (slot->n == slot->capacity) {
        slot->capacity = slot->capacity ? slot->capacity * 2 : 8;
        slot->call = realloc(slot->call, (size_t)slot->capacity * sizeof *slot->call);
    }
    slot->call[slot->n++] = &calls[started];
    phone_start(started++, now);
    last_start = now;
}

/* Calls that cannot be set up; after a few the run is not worth going on. */
static void give_up(i64 now) {
    for (int i = started - 1; pending > 0 && i >= 0 && i >= started - opt.parallel - 1; i--) {
        Call *c = &calls[i];
        if (c->ok || c->given_up || !(c->dead || now - c->connected_at > (i64)(opt.setup_s * SEC))) continue;
        c->given_up = 1;
        pending--;
        connection_close(&c->phone);
        if (++count.failed_setup > 5) abandoned = 1;
    }
}

static int undelivered(const Call *c, i64 now) {
    if (!c->ok || c->dead) return 0;
    if (c->responding) return 1;
    if (opt.pcm24) return c->play_end && now - c->down_marker_at < 600 * MS;
    return c->down_expected < c->down_seq && !(c->barge && c->flushed_upto == c->down_seq);
}

static int drained(i64 now) {
    int left = 0;
    if (now - window_to < 400 * MS) return 0;
    for (int i = 0; i < opt.calls; i++) left += undelivered(&calls[i], now);
    return !left || now - window_to > (i64)(opt.drain_s * SEC);
}

static int model_sockets(void) {
    int open = 0;
    for (int i = 0; i < opt.calls; i++) open += calls[i].model && calls[i].model->state == OPEN;
    return open;
}

static void run(Cpu *from, Cpu *to, long rss[3]) {
    i64 base = now_ns(), settled = 0, hung_up = 0;
    i64 limit = base + (i64)((opt.secs + opt.warm + opt.drain_s + 60 + opt.calls * 0.25) * SEC);
    u64 step = 0;
    for (;;) {
        i64 now = now_ns();
        while (base + (i64)(step + 1) * STEP <= now) {
            Slot *slot = &slots[++step % SLOTS];
            for (int i = 0; i < slot->n; i++) tick(slot->call[i], now_ns(), base + (i64)step * STEP);
        }
        now = now_ns();
        start_next(now);
        give_up(now);
        if (!settled && (started == opt.calls || abandoned) && !pending) settled = now;
        if (settled && !window_from && now - settled > (i64)(opt.warm * SEC)) {
            *from = cpu_now();
            window_from = now_ns();
        }
        if (window_from && !window_to && now - window_from > (i64)(opt.secs * SEC)) {
            window_to = now_ns();
            *to = cpu_now();
            rss[1] = rss_kb();
            stopping = 1;
        }
        if (stopping == 1 && drained(now)) {
            stopping = 2;
            hung_up = now;
            for (int i = 0; i < opt.calls; i++)
                if (calls[i].phone.state == OPEN) phone_hang_up(&calls[i]);
        }
        if (stopping == 2 && (!model_sockets() || now - hung_up > HANG_UP_SECONDS * SEC)) return;
        if (now > limit) {
            fprintf(stderr, "the run did not end by itself\n");
            return;
        }
        loop_wait(base + (i64)(step + 1) * STEP - now_ns());
    }
}

int main(int argc, char **argv) {
    Cpu from = {0}, to = {0};
    long rss[3] = {0};
    for (int i = 1; i + 1 < argc; i += 2) option(argv[i], argv[i + 1]);
    if (opt.pcm24) opt.parallel = 1;
    if (*opt.starts) starts_load(opt.starts);
    calls = calloc((size_t)opt.calls, sizeof *calls);
    codec_init();
    loop_init();
    model_listen(opt.model_port);
    rss[0] = rss_kb();
    run(&from, &to, rss);
    usleep(300000); /* the bridge's own clean-up */
    rss[2] = rss_kb();
    report((double)(window_to - window_from) / 1e9, from, to, rss);
    return 0;
}
