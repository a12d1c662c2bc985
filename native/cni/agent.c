// SPDX-License-Identifier: Apache-2.0
/*
 * One question to the node's agent over its unix socket: a JSON document each way, ended by the end of the
 * stream. An agent that is not there, or goes away in between, is starting or restarting: it is asked again
 * until the time is up. Who answers must be root; the socket's directory should see to that already.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "plugin.h"

#define MAX_ANSWER_BYTES (64 * 1024)
#define ASK_AGAIN_MS 100

/* Why an attempt came to nothing: worth another, or not. */
enum outcome { ANSWERED, TRY_AGAIN, GIVE_UP };

static long now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000L + time.tv_nsec / 1000000;
}

/* Whether the socket got ready before the deadline. */
static bool wait_for(int fd, short events, long deadline) {
    for (;;) {
        long left = deadline - now_ms();
        struct pollfd entry = {.fd = fd, .events = events};
        int ready = poll(&entry, 1, left > 0 ? (int)left : 0);
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

static bool send_all(int fd, const char *text, long deadline) {
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);
        if (sent < 0 && (errno != EAGAIN || !wait_for(fd, POLLOUT, deadline)))
            return false;
        if (sent > 0) {
            text += sent;
            left -= (size_t)sent;
        }
    }
    return shutdown(fd, SHUT_WR) == 0;
}

/* Bytes up to the end of the stream; -1 when it broke or stayed open, more than the buffer when there were
 * too many. */
static ssize_t receive_all(int fd, char *buffer, size_t size, long deadline) {
    size_t total = 0;
    while (total < size) {
        ssize_t got = recv(fd, buffer + total, size - total, 0);
        if (got == 0)
            return (ssize_t)total;
        if (got < 0 && (errno != EAGAIN || !wait_for(fd, POLLIN, deadline)))
            return -1;
        if (got > 0)
            total += (size_t)got;
    }
    return (ssize_t)size;
}

static bool is_root(int fd) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

static enum outcome converse(int fd, const char *request, long deadline, json_t **answer,
                             const char **reason) {
    static char buffer[MAX_ANSWER_BYTES + 1];
    if (!is_root(fd)) {
        *reason = "whoever listens on the agent's socket is not root";
        return GIVE_UP;
    }
    *reason = "the agent did not answer in time";
    if (!send_all(fd, request, deadline))
        return TRY_AGAIN;
    ssize_t size = receive_all(fd, buffer, sizeof(buffer), deadline);
    if (size <= 0)
        return TRY_AGAIN;
    *answer = size <= MAX_ANSWER_BYTES ? json_loadb(buffer, (size_t)size, 0, NULL) : NULL;
    if (json_is_object(*answer))
        return ANSWERED;
    *reason = "the agent's answer cannot be understood";
    return GIVE_UP;
}

static enum outcome attempt(const struct sockaddr_un *address, const char *request, long deadline,
                            json_t **answer, const char **reason) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *reason = "the agent is not running";
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        if (fd >= 0)
            close(fd);
        return TRY_AGAIN;
    }
    enum outcome outcome = converse(fd, request, deadline, answer, reason);
    close(fd);
    return outcome;
}

json_t *ask_agent(const char *socket_path, json_t *request, struct patience patience, const char **reason) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *text = json_dumps(request, JSON_COMPACT);
    long deadline = now_ms() + patience.wait_ms;
    json_t *answer = NULL;
    if (!text || strlen(socket_path) >= sizeof(address.sun_path)) {
        *reason = "the path of the agent's socket is too long";
        return NULL;
    }
    strcpy(address.sun_path, socket_path);
    for (;;) {
        enum outcome outcome = attempt(&address, text, deadline, &answer, reason);
        if (outcome == ANSWERED)
            return answer;
        if (outcome == GIVE_UP || !patience.insist || now_ms() + ASK_AGAIN_MS >= deadline)
            return NULL;
        usleep(ASK_AGAIN_MS * 1000);
    }
}
