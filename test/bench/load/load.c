/* The bench's load generator for small messages: one thread, one epoll, no allocation while it measures.
 *
 *   load serve   PORT COUNT                          echoes on COUNT ports, for ever
 *   load ping    HOST PORT COUNT CONNECTIONS SECONDS  64 bytes there and back, on connections that stay open
 *   load first   HOST PORT COUNT 1 0                  as short, once to each port, one after the other
 *   load short   HOST PORT COUNT CONNECTIONS SECONDS  connect, 64 bytes there and back, close; CONNECTIONS at
 * a time load connect HOST PORT COUNT 1 SECONDS           connect and close; only connect() is timed load
 * hold    HOST PORT COUNT CONNECTIONS 0       opens them, one round trip each, says `ready`, waits for end of
 * input
 *
 * Connections go round COUNT ports from PORT on, so that short ones do not run out of local ports. The result
 * is one line of JSON; times are in microseconds. HOST is an IPv4 address.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { message_size = 64, max_events = 256, max_connections = 65536, max_samples = 16 << 20 };

struct connection {
    int fd;
    int received; /* bytes of the current answer */
    int connected;
    uint64_t started; /* of the operation that is timed, ns */
};

static struct sockaddr_in target = {.sin_family = AF_INET};
static int first_port, port_count, next_port;
static int poller;
static struct connection connections[max_connections];
static uint32_t *samples; /* ns */
static size_t sample_count, operations, errors;
static int opened, wanted; /* connections */
static char message[message_size];

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void record(uint64_t started) {
    uint64_t took = now() - started;
    operations++;
    if (sample_count < max_samples)
        samples[sample_count++] = took > UINT32_MAX ? UINT32_MAX : took;
}

static int new_socket(int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0), one = 1;
    if (fd < 0)
        fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static const struct sockaddr *next_target(void) {
    target.sin_port = htons(first_port + next_port++ % port_count);
    return (const struct sockaddr *)&target;
}

static void watch(int fd, uint32_t events, void *data) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

/* Edge-triggered for both directions: one registration for the life of the socket. */
static void open_connection(struct connection *c) {
    *c = (struct connection){.started = now(), .fd = new_socket(SOCK_NONBLOCK)};
    if (connect(c->fd, next_target(), sizeof target) < 0 && errno != EINPROGRESS) {
        errors++;
        if (errno == EADDRNOTAVAIL)
            fail("connect: no local port is free");
    }
    watch(c->fd, EPOLLIN | EPOLLOUT | EPOLLET, c);
}

static void send_message(struct connection *c) {
    c->received = 0;
    /* 64 bytes into an empty socket buffer: all or an error, which the next read reports. */
    if (send(c->fd, message, message_size, MSG_NOSIGNAL) != message_size)
        errno = 0;
}

/* 1: the answer is complete; 0: not yet; -1: the connection failed. */
static int read_answer(struct connection *c) {
    char buffer[message_size];
    ssize_t n = recv(c->fd, buffer, message_size - c->received, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        return -1;
    c->received += n;
    return c->received == message_size;
}

static void on_event(struct connection *c, uint32_t events, int is_short, int repeat) {
    if (!c->connected && (events & EPOLLOUT) && !(events & (EPOLLERR | EPOLLHUP))) {
        c->connected = 1;
        if (!is_short)
            c->started = now();
        send_message(c);
    }
    int state = events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? read_answer(c) : 0;
    if (state == 0)
        return;
    if (state < 0)
        errors++;
    if (is_short || state < 0) {
        close(c->fd);
        if (state > 0)
            record(c->started);
        if (errors > 10000 && operations == 0)
            fail("every connection fails");
        open_connection(c);
        return;
    }
    record(c->started);
    if (!repeat) {
        if (opened < wanted)
            open_connection(&connections[opened++]);
        return;
    }
    c->started = now();
    send_message(c);
}

static double run_connections(int count, double seconds, int is_short) {
    int repeat = seconds > 0, at_once = repeat || count < 64 ? count : 64;
    for (wanted = count; opened < at_once; opened++)
        open_connection(&connections[opened]);
    uint64_t start = now(), end = start + seconds * 1e9;
    while (repeat ? now() < end : operations < (size_t)count) {
        struct epoll_event events[max_events];
        int n = epoll_wait(poller, events, max_events, 100);
        for (int i = 0; i < n; i++)
            on_event(events[i].data.ptr, events[i].events, is_short, repeat);
        if (!repeat && now() > start + 60000000000ull)
            fail("connections do not open within 60 s");
    }
    return (now() - start) / 1e9;
}

static double run_connects(double seconds) {
    uint64_t start = now(), end = start + seconds * 1e9;
    while (now() < end) {
        int fd = new_socket(0);
        uint64_t started = now();
        if (connect(fd, next_target(), sizeof target) < 0)
            fail("connect");
        record(started);
        close(fd);
    }
    return (now() - start) / 1e9;
}

static void run_firsts(int count) {
    for (int i = 0; i < count; i++) {
        uint64_t started = now();
        int fd = new_socket(0);
        if (connect(fd, next_target(), sizeof target) < 0)
            fail("connect");
        if (send(fd, message, message_size, MSG_NOSIGNAL) != message_size)
            fail("send");
        if (recv(fd, message, message_size, MSG_WAITALL) != message_size)
            fail("recv");
        record(started);
        close(fd);
    }
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double fraction) {
    return sample_count == 0 ? 0 : samples[(size_t)(fraction * (sample_count - 1))] / 1e3;
}

static void report(double seconds) {
    qsort(samples, sample_count, sizeof *samples, by_value);
    printf("{\"operations\":%zu,\"errors\":%zu,\"seconds\":%.6f,\"p50\":%.2f,\"p99\":%.2f}\n", operations,
           errors, seconds, percentile(0.5), percentile(0.99));
}

static void serve(int first, int count) {
    static int listeners[max_connections];
    for (int i = 0; i < count; i++) {
        int one = 1, fd = listeners[i] = new_socket(SOCK_NONBLOCK);
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(first + i)};
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(fd, 4096) < 0)
            fail("listen");
        watch(fd, EPOLLIN, &listeners[i]);
    }
    for (;;) {
        struct epoll_event events[max_events];
        int n = epoll_wait(poller, events, max_events, -1);
        for (int i = 0; i < n; i++) {
            int *slot = events[i].data.ptr, fd;
            if (slot >= listeners && slot < listeners + count) {
                if ((fd = accept4(*slot, NULL, NULL, SOCK_NONBLOCK)) < 0)
                    continue;
                connections[fd % max_connections].fd = fd;
                watch(fd, EPOLLIN, &connections[fd % max_connections].fd);
                continue;
            }
            char buffer[4096];
            ssize_t size = recv(*slot, buffer, sizeof buffer, 0);
            if (size < 0 && errno == EAGAIN)
                continue;
            if (size <= 0 || send(*slot, buffer, size, MSG_NOSIGNAL) != size)
                close(*slot);
        }
    }
}

int main(int argc, char **argv) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(0);
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "serve") == 0 && argc == 4)
        serve(atoi(argv[2]), atoi(argv[3]));
    if (argc != 7 || inet_pton(AF_INET, argv[2], &target.sin_addr) != 1) {
        fprintf(stderr, "usage: load serve PORT COUNT | ping|short|connect|first|hold HOST PORT COUNT "
                        "CONNECTIONS SECONDS\n");
        return 2;
    }
    first_port = atoi(argv[3]), port_count = atoi(argv[4]);
    int count = atoi(argv[5]) < max_connections ? atoi(argv[5]) : max_connections;
    double seconds = atof(argv[6]), took = 0;
    samples = malloc(max_samples * sizeof *samples);
    if (strcmp(mode, "ping") == 0 || strcmp(mode, "hold") == 0)
        took = run_connections(count, seconds, 0);
    else if (strcmp(mode, "short") == 0)
        took = run_connections(count, seconds, 1);
    else if (strcmp(mode, "connect") == 0)
        took = run_connects(seconds);
    else if (strcmp(mode, "first") == 0)
        run_firsts(port_count);
    else
        return fprintf(stderr, "load: no mode %s\n", mode), 2;
    if (strcmp(mode, "hold") == 0) {
        puts("ready"), fflush(stdout);
        while (read(0, message, sizeof message) > 0)
            continue;
        return errors > 0;
    }
    report(took);
    return 0;
}
