/*
 * Many TCP connections, for pods of the tests: servers, and clients that count what becomes of theirs. IPv4.
 *
 *   load serve GREET ECHO        on port GREET says one byte and ends; on port ECHO the same, then sends back
 * what it gets load short HOST PORT COUNT   one after another, in two processes: {"done", "failed"} load hold
 * HOST PORT COUNT    all at once: {"open", "failed"}; then, when all have ended or 30 s are over, {"ended"}
 *   load knock HOST PORT RATE    so many a second, each for itself, until standard input ends; each line
 * there is a time (Unix, in ms), answered with {"admitted", "refused"} of those that began after it
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 2, EVENTS = 512, AT_A_TIME = 500, PATIENCE_MS = 30000, REMEMBERED = 1 << 20 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now_ms(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct sockaddr_in address(const char *host, const char *port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
        die(host);
    return to;
}

static void allow_many_files(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        die("RLIMIT_NOFILE");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        die("RLIMIT_NOFILE");
}

static int listener(const char *port, int poll_fd) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in any = address("0.0.0.0", port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(fd, 4096) != 0)
        die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

static void accept_all(int from, int poll_fd, int is_echo) {
    for (int fd; (fd = accept4(from, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (write(fd, "x", 1) != 1 || !is_echo) {
            close(fd);
            continue;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void send_back(int fd) {
    char buffer[4096];
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0 || write(fd, buffer, (size_t)got) != got)
        close(fd);
}

static void serve(const char *greet, const char *echo) {
    int poll_fd = epoll_create1(0);
    int greeting = listener(greet, poll_fd), echoing = listener(echo, poll_fd);
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(poll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == greeting || fd == echoing)
                accept_all(fd, poll_fd, fd == echoing);
            else
                send_back(fd);
        }
    }
}

/* One connection from its beginning to its end: 0, or what failed. */
static int talk(const struct sockaddr_in *to) {
    char byte;
    int failed = 0, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0) {
        failed = errno;
    } else {
        ssize_t got = read(fd, &byte, 1);
        if (got != 1)
            failed = got < 0 ? errno : EPIPE;
        else if (read(fd, &byte, 1) != 0)
            failed = EBADMSG; /* the end, and nothing more */
    }
    close(fd);
    return failed;
}

static void many_short(const struct sockaddr_in *to, int count) {
    int results[2];
    if (pipe(results) != 0)
        die("pipe");
    for (int process = 0; process < PROCESSES; process++) {
        if (fork() != 0)
            continue;
        int tally[2] = {0, 0};
        for (int i = process; i < count; i += PROCESSES)
            tally[talk(to) == 0 ? 0 : 1]++;
        exit(write(results[1], tally, sizeof tally) == sizeof tally ? 0 : 1);
    }
    int done = 0, failed = 0, tally[2];
    for (int process = 0; process < PROCESSES; process++) {
        if (read(results[0], tally, sizeof tally) != sizeof tally)
            die("a process");
        done += tally[0];
        failed += tally[1];
    }
    while (wait(NULL) > 0)
        ;
    printf("{\"done\":%d,\"failed\":%d}\n", done, failed);
}

/* Whether the byte that means "connected" came. */
static int is_greeted(int fd) {
    char byte;
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    return poll(&readable, 1, PATIENCE_MS) == 1 && read(fd, &byte, 1) == 1;
}

static int count_ended(const int *fds, int count) {
    char byte;
    int ended = 0;
    for (int i = 0; i < count; i++) {
        ssize_t got = recv(fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            ended++;
    }
    return ended;
}

static void hold(const struct sockaddr_in *to, int count) {
    int *fds = calloc((size_t)count, sizeof *fds), open = 0, asked = 0, greeted = 0;
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 || errno == EINPROGRESS)
            fds[open++] = fd;
        /* No more at a time than fit into the server's queue: what overflows there may never be served. */
        if (open - asked == AT_A_TIME || i == count - 1)
            for (; asked < open; asked++)
                greeted += is_greeted(fds[asked]);
    }
    printf("{\"open\":%d,\"failed\":%d}\n", greeted, count - greeted);
    fflush(stdout);
    int ended = 0;
    for (double until = now_ms(CLOCK_MONOTONIC) + PATIENCE_MS; now_ms(CLOCK_MONOTONIC) < until; usleep(20000))
        if ((ended = count_ended(fds, open)) == open)
            break;
    printf("{\"ended\":%d}\n", ended);
}

struct attempt {
    double began;
    int admitted;
};

static void answer(const struct attempt *attempts, int count, double since) {
    int admitted = 0, refused = 0;
    for (int i = 0; i < count; i++)
        if (attempts[i].began > since)
            *(attempts[i].admitted ? &admitted : &refused) += 1;
    printf("{\"admitted\":%d,\"refused\":%d}\n", admitted, refused);
    fflush(stdout);
}

static void knock(const struct sockaddr_in *to, int rate) {
    struct attempt *attempts = calloc(REMEMBERED, sizeof *attempts);
    double first = now_ms(CLOCK_MONOTONIC);
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    for (int i = 0; i < REMEMBERED; i++) {
        double wait = first + i * 1000.0 / rate - now_ms(CLOCK_MONOTONIC);
        if (poll(&input, 1, wait > 1 ? (int)wait : 0) == 1) {
            char line[64];
            if (fgets(line, sizeof line, stdin) == NULL)
                return;
            answer(attempts, i, atof(line));
        }
        attempts[i].began = now_ms(CLOCK_REALTIME);
        attempts[i].admitted = talk(to) == 0;
    }
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    allow_many_files();
    if (strcmp(argv[1], "serve") == 0)
        serve(argv[2], argv[3]);
    if (argc < 5)
        return 2;
    struct sockaddr_in to = address(argv[2], argv[3]);
    int number = atoi(argv[4]);
    if (strcmp(argv[1], "short") == 0)
        many_short(&to, number);
    else if (strcmp(argv[1], "hold") == 0)
        hold(&to, number);
    else if (strcmp(argv[1], "knock") == 0)
        knock(&to, number);
    return 0;
}
