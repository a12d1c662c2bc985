#include "handover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "message.h"

#define GREETING "keeper 1"

static bool address_of(const char *path, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address->sun_path))
        return false;
    strcpy(address->sun_path, path);
    return true;
}

static bool is_same_user(int socket) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

static void limit_waiting(int socket) {
    const struct timeval limit = {.tv_sec = 2};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static int give_up(int socket, const char *why) {
    log_line("warn", "handover: %s", why);
    close(socket);
    return -1;
}

int handover_listen(const char *path) {
    struct sockaddr_un address;
    char fresh[sizeof(address.sun_path) + 8];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(fresh);
    if (listener >= 0 && address_of(fresh, &address) &&
        bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && chmod(fresh, 0600) == 0 &&
        listen(listener, 1) == 0 && rename(fresh, path) == 0)
        return listener;
    log_line("error", "no successor can take over: cannot listen on the handover socket: %s",
             strerror(errno));
    if (listener >= 0)
        close(listener);
    return -1;
}

static bool greeted(int socket) {
    struct message hello;
    if (receive_message(socket, &hello) != RECEIVED)
        return false;
    if (hello.fd >= 0)
        close(hello.fd);
    return strcmp(hello.text, GREETING) == 0;
}

static bool send_all(int socket, const struct held *held) {
    for (size_t i = 0; i < held->count; i++) {
        char text[MESSAGE_MAX_BYTES];
        snprintf(text, sizeof(text), "hold %s", held->entries[i].name);
        if (!send_message(socket, text, held->entries[i].fd))
            return false;
    }
    return send_message(socket, "end", -1);
}

int handover_give(int listener, const struct held *held) {
    const int successor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (successor < 0)
        return -1;
    limit_waiting(successor);
    if (!is_same_user(successor))
        return give_up(successor, "the successor is another user's");
    if (!greeted(successor)) {
        send_message(successor, "refused version", -1);
        return give_up(successor, "the successor speaks another version");
    }
    if (!send_message(successor, GREETING, -1) || !send_all(successor, held))
        return give_up(successor, "the successor went away");
    return successor;
}

// False at the end of the list, and when there is no sense in going on (`*failed`).
static bool take_one(int socket, struct held *held, bool *failed) {
    struct message message;
    if (receive_message(socket, &message) != RECEIVED)
        return !(*failed = true);
    const char *name = after_word(&message, "hold");
    if (name && message.fd >= 0) {
        const char *reason = held_put(held, name, message.fd);
        if (reason)
            log_line("warn", "handover: something was not taken over: %s", reason);
        return true;
    }
    if (message.fd >= 0)
        close(message.fd);
    *failed = strcmp(message.text, "end") != 0;
    return false;
}

int handover_take(const char *path, struct held *held) {
    struct sockaddr_un address;
    const int predecessor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (predecessor < 0 || !address_of(path, &address) ||
        connect(predecessor, (struct sockaddr *)&address, sizeof(address)) != 0) {
        if (predecessor >= 0)
            close(predecessor);
        return -1;
    }
    limit_waiting(predecessor);
    if (!is_same_user(predecessor))
        return give_up(predecessor, "the predecessor is another user's");
    if (!send_message(predecessor, GREETING, -1) || !greeted(predecessor))
        return give_up(predecessor, "the predecessor speaks another version");
    bool failed = false;
    while (take_one(predecessor, held, &failed))
        continue;
    if (failed || !send_message(predecessor, "taken", -1)) {
        held_clear(held);
        return give_up(predecessor, "the predecessor went away");
    }
    log_line("info", "took over %zu descriptors from the predecessor", held->count);
    return predecessor;
}
