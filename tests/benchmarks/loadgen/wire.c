/* Sockets, the event loop, and WebSocket frames for both ends. */
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOW_READER (4u << 20) /* bytes waiting for a peer before it is given up */
#define LONGEST_MESSAGE (16u << 20)

static int epoll_fd;
static Conn listener = {.kind = LISTENER, .state = OPEN};
static u32 mask_seed = 12345;

i64 now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SEC + t.tv_nsec;
}

void buffer_need(Buffer *b, size_t room) {
    if (b->capacity - b->length >= room) return;
    b->capacity = (b->length + room) * 2;
    b->data = realloc(b->data, b->capacity + 1);
}

void buffer_add(Buffer *b, const void *data, size_t n) {
    buffer_need(b, n);
    memcpy(b->data + b->length, data, n);
    b->length += n;
}

void buffer_drop(Buffer *b, size_t n) {
    memmove(b->data, b->data + n, b->length - n);
    b->length -= n;
}

void not_blocking(int fd) {
    int on = 1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void loop_init(void) { epoll_fd = epoll_create1(0); }

void loop_add(Conn *c, u32 events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void want_write(Conn *c, int wants) {
    struct epoll_event e = {.events = EPOLLIN | (wants ? EPOLLOUT : 0), .data.ptr = c};
    c->wants_write = wants;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

void connection_close(Conn *c) {
    if (c->state == CLOSED) return;
    c->state = CLOSED;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    c->fd = -1;
    if (!stopping && c->call && !c->call->dead) {
        c->call->dead = 1;
        count.dropped++;
    }
}

void raw_send(Conn *c, const void *data, size_t n) {
    if (c->state == CLOSED) return;
    if (c->sent == c->out.length) {
        ssize_t written = send(c->fd, data, n, MSG_NOSIGNAL);
        if (written == (ssize_t)n) return;
        if (written < 0 && errno != EAGAIN) {
            connection_close(c);
            return;
        }
        if (written < 0) written = 0;
        data = (const u8 *)data + written;
        n -= (size_t)written;
        c->sent = c->out.length = 0;
    }
    buffer_add(&c->out, data, n);
    if (c->out.length - c->sent > SLOW_READER) {
        count.overflow++;
        connection_close(c);
    } else if (!c->wants_write) {
        want_write(c, 1);
    }
}

static void mask(u8 *to, const u8 *from, size_t n, u32 key) {
    u64 wide = key | (u64)key << 32;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        u64 x;
        memcpy(&x, from + i, 8);
        x ^= wide;
        memcpy(to + i, &x, 8);
    }
    for (; i < n; i++) to[i] = from[i] ^ ((u8 *)&key)[i & 3];
}

void frame_send(Conn *c, int opcode, const void *data, size_t n) {
    static u8 frame[1 << 18];
    size_t head = 0;
    u8 masked = c->kind == PHONE ? 0x80 : 0; /* the phone is the client */
    frame[head++] = (u8)(0x80 | opcode);
    if (n < 126) {
        frame[head++] = (u8)(masked | n);
    } else if (n < 65536) {
        frame[head++] = masked | 126, frame[head++] = (u8)(n >> 8), frame[head++] = (u8)n;
    } else {
        frame[head++] = masked | 127;
        for (int i = 7; i >= 0; i--) frame[head++] = (u8)((u64)n >> (8 * i));
    }
    if (masked) {
        mask_seed = mask_seed * 1664525u + 1013904223u;
        u32 key = mask_seed | 0x01010101u;
        memcpy(frame + head, &key, 4);
        head += 4;
        mask(frame + head, data, n, key);
    } else {
        memcpy(frame + head, data, n);
    }
    raw_send(c, frame, head + n);
}

void text_send(Conn *c, const char *text, int n) { frame_send(c, 1, text, (size_t)n); }

static void deliver(Conn *c, const u8 *data, size_t n, i64 now) {
    if (c->kind == PHONE) phone_message(c->call, (const char *)data, n, now);
    else model_message(c, (const char *)data, n, now);
}

static void frame_take(Conn *c, u8 *head, u8 *data, size_t n, i64 now) {
    int final = head[0] >> 7, opcode = head[0] & 15;
    if (opcode == 8) {
        frame_send(c, 8, data, n < 2 ? 0 : 2);
        connection_close(c);
    } else if (opcode == 9) {
        frame_send(c, 10, data, n);
    } else if (opcode < 3 && final && opcode) {
        deliver(c, data, n, now);
    } else if (opcode < 3) {
        if (opcode) c->fragments.length = 0;
        buffer_add(&c->fragments, data, n);
        if (final) deliver(c, c->fragments.data, c->fragments.length, now);
    }
}

static void frames_parse(Conn *c, i64 now) {
    size_t at = 0;
    while (c->state == OPEN) {
        size_t have = c->in.length - at, head = 2;
        u8 *p = c->in.data + at;
        if (have < 2) break;
        u64 n = p[1] & 127;
        int masked = p[1] >> 7;
        if (n == 126) {
            if (have < 4) break;
            n = (u64)p[2] << 8 | p[3], head = 4;
        } else if (n == 127) {
            if (have < 10) break;
            n = 0, head = 10;
            for (int i = 0; i < 8; i++) n = n << 8 | p[2 + i];
        }
        u8 *key_at = p + head;
        if (masked) head += 4;
        if (n > LONGEST_MESSAGE) {
            connection_close(c);
            return;
        }
        if (have < head + n) break;
        if (masked) {
            u32 key;
            memcpy(&key, key_at, 4);
            if (key) mask(p + head, p + head, n, key);
        }
        at += head + n;
        frame_take(c, p, p + head, n, now);
    }
    if (c->state != CLOSED && at) buffer_drop(&c->in, at);
}

static void upgrade_accept(Conn *c) {
    static const char REFUSAL[] = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    char accept[32], answer[256];
    char *key = strcasestr((char *)c->in.data, "sec-websocket-key:");
    if (!key || memcmp(c->in.data, "GET /v1/realtime", 16)) {
        raw_send(c, REFUSAL, sizeof REFUSAL - 1);
        connection_close(c);
        return;
    }
    key += 18;
    while (*key == ' ') key++;
    size_t n = 0;
    while (key[n] > ' ' && n < 60) n++;
    websocket_accept(key, n, accept);
    int length = snprintf(answer, sizeof answer,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
    raw_send(c, answer, (size_t)length);
    count.sessions++;
}

static void upgrade(Conn *c, i64 now) {
    c->in.data[c->in.length] = 0;
    u8 *end = memmem(c->in.data, c->in.length, "\r\n\r\n", 4);
    if (!end) return;
    if (c->kind == MODEL) {
        upgrade_accept(c);
        if (c->state == CLOSED) return;
    } else if (memcmp(c->in.data, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "upgrade refused: %.60s\n", (char *)c->in.data);
        connection_close(c);
        return;
    }
    buffer_drop(&c->in, (size_t)(end + 4 - c->in.data));
    c->state = OPEN;
    if (c->kind == MODEL) model_upgraded(c);
    else phone_upgraded(c);
    frames_parse(c, now);
}

void read_ready(Conn *c) {
    for (int turn = 0; turn < 4; turn++) {
        buffer_need(&c->in, 32768);
        size_t room = c->in.capacity - c->in.length;
        ssize_t got = recv(c->fd, c->in.data + c->in.length, room, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            connection_close(c);
            return;
        }
        c->in.length += (size_t)got;
        if (c->state == HANDSHAKE) upgrade(c, now_ns());
        else frames_parse(c, now_ns());
        if (c->state == CLOSED || (size_t)got < room) return;
    }
}

static void connected(Conn *c) {
    int error = 0;
    socklen_t length = sizeof error;
    char request[2048];
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        connection_close(c);
        return;
    }
    c->state = HANDSHAKE;
    want_write(c, 0);
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                     "User-Agent: Twilio.TmeWs/1.0\r\n%s%s\r\n",
                     opt.path, opt.bridge_port, opt.header, *opt.header ? "\r\n" : "");
    raw_send(c, request, (size_t)n);
}

void write_ready(Conn *c) {
    if (c->kind == PHONE && c->state == CONNECTING) {
        connected(c);
        return;
    }
    while (c->sent < c->out.length) {
        ssize_t written = send(c->fd, c->out.data + c->sent, c->out.length - c->sent, MSG_NOSIGNAL);
        if (written < 0) {
            if (errno != EAGAIN) connection_close(c);
            return;
        }
        c->sent += (size_t)written;
    }
    c->sent = c->out.length = 0;
    want_write(c, 0);
}

void model_listen(int port) {
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((u16)port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    listener.fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener.fd, (void *)&address, sizeof address) || listen(listener.fd, 4096)) {
        perror("the model's port");
        exit(2);
    }
    not_blocking(listener.fd);
    loop_add(&listener, EPOLLIN);
}

static void accept_all(void) {
    int fd;
    while ((fd = accept(listener.fd, NULL, NULL)) >= 0) {
        Conn *c = calloc(1, sizeof *c);
        not_blocking(fd);
        c->fd = fd, c->kind = MODEL, c->state = HANDSHAKE;
        loop_add(c, EPOLLIN);
    }
}

int loop_wait(i64 timeout_ns) {
    struct epoll_event events[64];
    struct timespec timeout = {0, timeout_ns < 0 ? 0 : timeout_ns};
    int n = epoll_pwait2(epoll_fd, events, 64, &timeout, NULL);
    for (int i = 0; i < n; i++) {
        Conn *c = events[i].data.ptr;
        if (c->kind == LISTENER) {
            accept_all();
            continue;
        }
        if (c->state != CLOSED && (events[i].events & EPOLLOUT)) write_ready(c);
        if (c->state != CLOSED && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read_ready(c);
    }
    return n;
}
