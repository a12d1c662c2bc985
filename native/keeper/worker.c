#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

// Of the worker's end. A worker that starts says something about each of its sockets in one go; a message
// counts for about a kilobyte.
#define CHANNEL_BYTES (8 << 20)

// The file that lists what is inherited; -1 on failure.
static int table_of(const struct held *held) {
    const int table = memfd_create("held", MFD_CLOEXEC);
    if (table < 0)
        return -1;
    for (size_t i = 0; i < held->count; i++) {
        if (dprintf(table, "%d %s\n", held->entries[i].fd, held->entries[i].name) < 0) {
            close(table);
            return -1;
        }
    }
    lseek(table, 0, SEEK_SET);
    return table;
}

static void inherit(int fd) {
    fcntl(fd, F_SETFD, 0);
}

// What the worker finds in its environment.
struct place {
    int channel;
    int table;
    unsigned restarts;
};

__attribute__((noreturn)) static void become(const struct held *held, struct place found, pid_t keeper,
                                             char *const command[]) {
    // Two workers must never be there at a time: this one does not outlive the keeper that could start
    // another.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper)
        _exit(127);
    // What a terminal sends its processes, the keeper gets and passes on once.
    setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    char place[48];
    snprintf(place, sizeof(place), "%d %d %u", found.channel, found.table, found.restarts);
    setenv("MESH_EBPF_KEEPER", place, 1);
    inherit(found.channel);
    inherit(found.table);
    for (size_t i = 0; i < held->count; i++)
        inherit(held->entries[i].fd);
    execvp(command[0], command);
    dprintf(STDERR_FILENO, "mesh-ebpf-keeper: %s: %s\n", command[0], strerror(errno));
    _exit(127);
}

bool worker_start(struct worker *worker, const struct held *held, unsigned restarts, char *const command[]) {
    const pid_t keeper = getpid();
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return false;
    const int room = CHANNEL_BYTES;
    if (setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) != 0)
        setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    const int table = table_of(held);
    const pid_t pid = table < 0 ? -1 : fork();
    if (pid == 0)
        become(held, (struct place){ends[1], table, restarts}, keeper, command);
    const int error = errno;
    close(ends[1]);
    if (table >= 0)
        close(table);
    if (pid < 0) {
        close(ends[0]);
        log_line("error", "could not start the worker: %s", strerror(error));
        return false;
    }
    *worker = (struct worker){.pid = pid, .channel = ends[0], .ready = false};
    return true;
}
