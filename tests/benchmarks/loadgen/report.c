/* What was measured: latencies, processor time of the bridge with its children, counts, as one JSON object. */
#include "load.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void latency_add(Latencies *l, i64 ns) {
    if (l->n == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 4096;
        l->us = realloc(l->us, l->capacity * sizeof *l->us);
    }
    l->us[l->n++] = ns < 0 ? 0 : (u32)(ns / 1000 > 0xffffffffLL ? 0xffffffffLL : ns / 1000);
}

typedef struct {
    double seconds;
    long rss_kb;
} Usage;

static Usage process_usage(int pid);

static Usage children_usage(int pid) {
    Usage total = {0, 0};
    char path[512];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    struct dirent *entry;
    while (tasks && (entry = readdir(tasks))) {
        int child;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, entry->d_name);
        FILE *f = fopen(path, "r");
        while (f && fscanf(f, "%d", &child) == 1) {
            Usage one = process_usage(child);
            total.seconds += one.seconds;
            total.rss_kb += one.rss_kb;
        }
        if (f) fclose(f);
    }
    if (tasks) closedir(tasks);
    return total;
}

static Usage process_usage(int pid) {
    char path[64], text[4096];
    unsigned long user = 0, system = 0;
    long pages = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return (Usage){0, 0};
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    const char *after = strrchr(text, ')');
    if (after) sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    if ((f = fopen(path, "r"))) {
        if (fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
        fclose(f);
    }
    Usage total = children_usage(pid);
    total.seconds += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    total.rss_kb += resident * (sysconf(_SC_PAGESIZE) / 1024);
    return total;
}

long rss_kb(void) { return opt.pid ? process_usage(opt.pid).rss_kb : 0; }

Cpu cpu_now(void) {
    Cpu cpu = {0};
    char line[512];
    unsigned long user, nice, system, idle, wait, irq, soft, steal;
    double tick = (double)sysconf(_SC_CLK_TCK);
    FILE *f = fopen("/proc/stat", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "cpu0 %lu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system, &idle, &wait, &irq, &soft,
                   &steal) == 8) {
            cpu.busy = (double)(user + nice + system + irq + soft) / tick;
            cpu.steal = (double)steal / tick;
            cpu.softirq = (double)(irq + soft) / tick;
        }
    if (f) fclose(f);
    if (opt.pid) cpu.process = process_usage(opt.pid).seconds;
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    cpu.own = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
              (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6;
    return cpu;
}

static int by_size(const void *a, const void *b) {
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return x < y ? -1 : x > y;
}

static double quantile(const Latencies *l, double q) { return l->us[(size_t)((double)(l->n - 1) * q)] / 1000.0; }

static void latency_print(const char *name, Latencies *l) {
    if (!l->n) {
        printf(",\"%s\":null", name);
        return;
    }
    qsort(l->us, l->n, sizeof *l->us, by_size);
    printf(",\"%s\":{\"n\":%zu,\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name, l->n, quantile(l, .5),
           quantile(l, .95), quantile(l, .99), quantile(l, 1));
}

static void counts_print(void) {
#define PRINT(field) printf(",\"" #field "\":%llu", (unsigned long long)count.field);
    PRINT(up_sent) PRINT(up_received) PRINT(up_lost) PRINT(up_lost_setup) PRINT(up_tail) PRINT(up_reordered)
    PRINT(up_corrupt) PRINT(up_bad_bytes) PRINT(appends) PRINT(down_sent) PRINT(down_received) PRINT(down_lost)
    PRINT(down_undelivered) PRINT(down_excused) PRINT(down_reordered) PRINT(down_corrupt) PRINT(down_bad_bytes)
    PRINT(deltas) PRINT(media) PRINT(crosstalk) PRINT(stale) PRINT(barge_ins) PRINT(barge_without_clear)
    PRINT(clears) PRINT(clears_unasked) PRINT(marks) PRINT(marks_echoed) PRINT(truncates) PRINT(cancels)
    PRINT(session_updates) PRINT(response_creates) PRINT(other_model) PRINT(other_phone) PRINT(failed_setup)
    PRINT(dropped) PRINT(overflow) PRINT(sessions) PRINT(up_markers_sent) PRINT(up_markers) PRINT(down_markers)
#undef PRINT
}

static int calls_settle(int *model_open, int *phone_open) {
    int ok = 0;
    for (int i = 0; i < opt.calls; i++) {
        Call *c = &calls[i];
        *model_open += c->model && c->model->state == OPEN;
        *phone_open += c->phone.state == OPEN;
        ok += c->ok && !c->dead;
        count.barge_without_clear += c->barge_sent_at != 0;
        if (opt.pcm24 || !c->ok) continue;
        count.up_tail += c->up_seq - c->up_expected;
        for (u32 seq = c->down_expected; seq < c->down_seq; seq++)
            if (c->barge && seq < c->flushed_upto) count.down_excused++;
            else count.down_undelivered++;
    }
    return ok;
}

void report(double seconds, Cpu from, Cpu to, const long rss[3]) {
    int model_open = 0, phone_open = 0, ok = calls_settle(&model_open, &phone_open), n = ok ? ok : 1;
    double cpu = (to.process - from.process) / seconds;
    printf("{\"label\":\"%s\",\"calls_asked\":%d,\"calls_ok\":%d,\"window_s\":%.3f,\"fmt\":\"%s\"", opt.label, opt.calls,
           ok, seconds, opt.pcm24 ? "pcm24" : "pcmu");
    printf(",\"bridge_cpu\":%.4f,\"cpu0_busy\":%.4f,\"cpu0_steal\":%.4f,\"cpu0_softirq\":%.4f,\"loadgen_cpu\":%.4f", cpu,
           (to.busy - from.busy) / seconds, (to.steal - from.steal) / seconds, (to.softirq - from.softirq) / seconds,
           (to.own - from.own) / seconds);
    printf(",\"cpu_ms_per_call_s\":%.4f", 1000 * cpu / n);
    printf(",\"rss_idle_mb\":%.1f,\"rss_mb\":%.1f,\"rss_after_mb\":%.1f,\"rss_kb_per_call\":%.1f", (double)rss[0] / 1024,
           (double)rss[1] / 1024, (double)rss[2] / 1024, (double)(rss[1] - rss[0]) / n);
    latency_print("up_ms", &up_latency);
    latency_print("down_ms", &down_latency);
    latency_print("down_first_ms", &down_first_latency);
    latency_print("clear_ms", &clear_latency);
    latency_print("setup_ms", &setup_latency);
    latency_print("gen_lag_ms", &lag_latency);
    counts_print();
    printf(",\"model_sockets_open\":%d,\"phone_sockets_open\":%d}\n", model_open, phone_open);
}
