/* Base64, the WebSocket accept key, and synthetic audio whose every byte is known to both ends. */
#include "load.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static u8 values[256];
static char pairs[4096][2];
static u8 noise[65536 + 256];
/* Each unit begins with its direction's magic, the call and the sequence number as nibbles. */
static const u8 MAGIC[2][4] = {{0x11, 0xE7, 0x3C, 0xD2}, {0x19, 0xC4, 0x6B, 0xA3}};

char silent_frame[256], loud_frame[256];
int frame_chars;
char *loud_delta;
size_t loud_delta_chars;

static u8 mulaw(int sample) {
    int sign = sample < 0 ? 0x80 : 0, exponent = 7;
    if (sample < 0) sample = -sample;
    sample = (sample > 32635 ? 32635 : sample) + 132;
    for (int mask = 0x4000; !(sample & mask) && exponent > 0; mask >>= 1) exponent--;
    return (u8) ~(sign | exponent << 4 | ((sample >> (exponent + 3)) & 15));
}

void codec_init(void) {
    for (int i = 0; i < 4096; i++) pairs[i][0] = ALPHABET[i >> 6], pairs[i][1] = ALPHABET[i & 63];
    memset(values, 0xFF, sizeof values);
    for (int i = 0; i < 64; i++) values[(u8)ALPHABET[i]] = (u8)i;
    srand(42);
    for (size_t i = 0; i < sizeof noise; i++) {
        u8 byte = (u8)(rand() >> 7);
        noise[i] = byte == 0x7F ? 0x7E : byte;
    }
    u8 silent[UNIT], loud[UNIT];
    memset(silent, 0xFF, UNIT);
    for (int i = 0; i < UNIT; i++) loud[i] = mulaw((int)(24000 * sin(2 * M_PI * i * 1000 / 8000 + 0.7)));
    frame_chars = (int)base64_encode(silent, UNIT, silent_frame);
    base64_encode(loud, UNIT, loud_frame);
    int samples = 24 * opt.delta_ms;
    int16_t *delta = calloc((size_t)samples, 2);
    for (int i = 0; i < 480; i++) delta[i] = (int16_t)(24000 * sin(2 * M_PI * i * 1000 / 24000 + 0.7));
    loud_delta = malloc((size_t)samples * 3 + 16);
    loud_delta_chars = base64_encode((u8 *)delta, (size_t)samples * 2, loud_delta);
    free(delta);
}

size_t base64_encode(const u8 *from, size_t n, char *to) {
    char *p = to;
    size_t i = 0;
    for (; i + 2 < n; i += 3, p += 4) {
        u32 v = (u32)from[i] << 16 | (u32)from[i + 1] << 8 | from[i + 2];
        memcpy(p, pairs[v >> 12], 2);
        memcpy(p + 2, pairs[v & 4095], 2);
    }
    if (i < n) {
        u32 v = (u32)from[i] << 16 | (n - i == 2 ? (u32)from[i + 1] << 8 : 0);
        memcpy(p, pairs[v >> 12], 2);
        p[2] = n - i == 2 ? ALPHABET[v >> 6 & 63] : '=';
        p[3] = '=';
        p += 4;
    }
    return (size_t)(p - to);
}

long base64_decode(const char *from, size_t n, u8 *to) {
    u8 *p = to;
    if (n % 4) return -1;
    for (size_t i = 0; i < n; i += 4) {
        u8 a = values[(u8)from[i]], b = values[(u8)from[i + 1]], c = values[(u8)from[i + 2]], d = values[(u8)from[i + 3]];
        if ((a | b) & 0xC0) return -1;
        if (!((c | d) & 0xC0)) {
            u32 v = (u32)a << 18 | (u32)b << 12 | (u32)c << 6 | d;
            *p++ = (u8)(v >> 16), *p++ = (u8)(v >> 8), *p++ = (u8)v;
        } else if (i + 4 == n && from[i + 3] == '=') {
            int two = from[i + 2] != '=';
            if (two && (c & 0xC0)) return -1;
            u32 v = (u32)a << 18 | (u32)b << 12 | (two ? (u32)c << 6 : 0);
            *p++ = (u8)(v >> 16);
            if (two) *p++ = (u8)(v >> 8);
        } else {
            return -1;
        }
    }
    return p - to;
}

static void nibbles_put(u8 *to, u32 value) {
    for (int i = 0; i < 8; i++) to[i] = 0x20 | ((value >> (28 - 4 * i)) & 15);
}

static int nibbles_get(const u8 *from, u32 *value) {
    *value = 0;
    for (int i = 0; i < 8; i++) {
        if ((from[i] & 0xF0) != 0x20) return 0;
        *value = *value << 4 | (from[i] & 15);
    }
    return 1;
}

void unit_make(int down, u32 call, u32 seq, u8 *to) {
    memcpy(to, MAGIC[down], 4);
    nibbles_put(to + 4, call);
    nibbles_put(to + 12, seq);
    memcpy(to + 20, noise + ((call * 7919u + seq * 131u + (u32)down * 4099u) & 0xFFFF), UNIT - 20);
}

int unit_read(int down, const u8 *from, u32 *call, u32 *seq) {
    u8 expected[UNIT];
    if (memcmp(from, MAGIC[down], 4) || !nibbles_get(from + 4, call) || !nibbles_get(from + 12, seq)) return 0;
    unit_make(down, *call, *seq, expected);
    return memcmp(from, expected, UNIT) ? -1 : 1;
}

static void sha1_block(u32 h[5], const u8 *block) {
    u32 w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++)
        w[i] = (u32)block[4 * i] << 24 | (u32)block[4 * i + 1] << 16 | (u32)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) {
        u32 x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
        w[i] = x << 1 | x >> 31;
    }
    for (int i = 0; i < 80; i++) {
        u32 f, k;
        if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
        else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
        else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
        else f = b ^ c ^ d, k = 0xCA62C1D6;
        u32 t = (a << 5 | a >> 27) + f + e + k + w[i];
        e = d, d = c, c = b << 30 | b >> 2, b = a, a = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

void websocket_accept(const char *key, size_t n, char accept[32]) {
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    u32 h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    u8 text[128] = {0}, digest[20];
    memcpy(text, key, n);
    memcpy(text + n, GUID, sizeof GUID - 1);
    n += sizeof GUID - 1;
    size_t total = (n + 9 + 63) / 64 * 64;
    text[n] = 0x80;
    for (int i = 0; i < 8; i++) text[total - 1 - (size_t)i] = (u8)((u64)n * 8 >> (8 * i));
    for (size_t at = 0; at < total; at += 64) sha1_block(h, text + at);
    for (int i = 0; i < 20; i++) digest[i] = (u8)(h[i / 4] >> (24 - 8 * (i % 4)));
    accept[base64_encode(digest, 20, accept)] = 0;
}
