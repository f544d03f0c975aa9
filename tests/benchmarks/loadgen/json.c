/* Reading the few fields that matter from messages whose shape is known. */
#include "load.h"
#include <string.h>

static const char *skip_spaces(const char *p, const char *end) {
    while (p < end && *p == ' ') p++;
    return p;
}

const char *json_string(const char *text, size_t n, const char *key, size_t *length) {
    const char *p = text, *end = text + n;
    size_t key_length = strlen(key);
    while ((p = memmem(p, (size_t)(end - p), key, key_length))) {
        const char *q = skip_spaces(p + key_length, end);
        p += key_length;
        if (q == end || *q != ':') continue;
        q = skip_spaces(q + 1, end);
        if (q == end || *q != '"') continue;
        const char *close = memchr(q + 1, '"', (size_t)(end - q - 1));
        if (!close) return NULL;
        *length = (size_t)(close - q - 1);
        return q + 1;
    }
    return NULL;
}
