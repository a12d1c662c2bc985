#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST "GET /healthz/ready HTTP/1.0\r\n\r\n"
#define ANSWER_MAX_BYTES 4096

// A node program on a busy machine; the kubelet's own limit is longer.
static const struct timeval limit = {.tv_sec = 4};

static int failed(const char *what) {
    printf("not ready: %s: %s\n", what, strerror(errno));
    return 1;
}

// Bytes read into `answer`, which is then a string; -1 on failure.
static ssize_t read_all(int socket, char *answer, size_t size) {
    size_t length = 0;
    while (length < size - 1) {
        const ssize_t got = read(socket, answer + length, size - 1 - length);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    answer[length] = '\0';
    return (ssize_t)length;
}

static int judge(const char *answer) {
    if (strncmp(answer, "HTTP/1.1 200 ", strlen("HTTP/1.1 200 ")) == 0)
        return 0;
    const char *body = strstr(answer, "\r\n\r\n");
    fputs(body ? body + 4 : "not ready: the answer is not understood\n", stdout);
    return 1;
}

int probe(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return failed(path);
    }
    strcpy(address.sun_path, path);
    const int socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0)
        return failed("socket");
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    char answer[ANSWER_MAX_BYTES];
    int result;
    if (connect(socket_, (struct sockaddr *)&address, sizeof(address)) != 0)
        result = failed(path);
    else if (write(socket_, REQUEST, strlen(REQUEST)) < 0 || read_all(socket_, answer, sizeof(answer)) < 0)
        result = failed("no answer");
    else
        result = judge(answer);
    close(socket_);
    return result;
}
