// mesh-ebpf-keeper: runs the node program as its worker and outlives it. What the worker hands over (the
// pods' listening sockets, its certificates) is held while the worker is restarted, so that connections wait
// in the listen queues and nobody is refused. If no worker serves within the time allowed, everything is
// closed: connections are then refused, as the BPF programs go on capturing. It can be the first process of a
// container: it reaps and passes signals on.
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "handover.h"
#include "held.h"
#include "log.h"
#include "message.h"
#include "probe.h"
#include "worker.h"

#define NEVER INT64_MAX
#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 5000
#define EXIT_FAILED 1
#define EXIT_USAGE 2

enum handover_state {
    SERVING,  // ours is the node
    GIVING,   // a successor has everything and starts; our worker drains
    RELIEVED, // the successor serves: nothing is left to do but to be ended
};

struct keeper {
    int64_t hold_ms;
    const char *handover_path; // NULL: no handover
    char *const *command;

    struct held held;
    struct worker worker;
    bool retired;       // the worker drains for a successor
    int64_t start_at;   // the next worker
    int64_t give_up_at; // close what is held
    unsigned failures;  // workers in a row that never served
    unsigned restarts;  // workers in all that ended and should not have
    bool stopping;
    int exit_status; // -1: go on

    enum handover_state handover;
    int successors;  // where they connect; -1: nowhere
    int successor;   // -1: none
    int predecessor; // the one we took over from and who waits for our worker to serve; -1: none
};

static struct keeper keeper = {
    .hold_ms = 30000,
    .worker = {.channel = -1},
    .start_at = NEVER,
    .give_up_at = NEVER,
    .exit_status = -1,
    .successors = -1,
    .successor = -1,
    .predecessor = -1,
};

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_and_forget(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

// ------------------------------------------------------------------------------------------------ worker

// After one that served, at once.
static int64_t pause_ms(unsigned failures) {
    if (failures == 0)
        return 0;
    const int64_t pause = FIRST_PAUSE_MS << (failures < 7 ? failures - 1 : 6);
    return pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS;
}

// From here on, connections wait for a worker that serves.
static void begin_waiting(void) {
    if (keeper.held.count > 0 && keeper.give_up_at == NEVER)
        keeper.give_up_at = now_ms() + keeper.hold_ms;
}

static void start_worker(void) {
    keeper.start_at = NEVER;
    keeper.retired = false;
    begin_waiting();
    if (!worker_start(&keeper.worker, &keeper.held, keeper.restarts, keeper.command))
        keeper.start_at = now_ms() + pause_ms(++keeper.failures);
}

static void worker_is_ready(void) {
    keeper.worker.ready = true;
    keeper.failures = 0;
    keeper.give_up_at = NEVER;
    log_line("info", "the worker serves; %zu descriptors are held", keeper.held.count);
    if (keeper.predecessor >= 0)
        send_message(keeper.predecessor, "ready", -1);
    close_and_forget(&keeper.predecessor);
    if (keeper.handover_path && keeper.successors < 0)
        keeper.successors = handover_listen(keeper.handover_path);
}

static void obey(struct message *message) {
    const char *name;
    const char *reason = NULL;
    if ((name = after_word(message, "hold")) && message->fd >= 0) {
        reason = held_put(&keeper.held, name, message->fd);
        message->fd = -1;
    } else if ((name = after_word(message, "drop")) && message->fd < 0) {
        held_drop(&keeper.held, name);
    } else if (strcmp(message->text, "ready") == 0) {
        worker_is_ready();
    } else {
        reason = "the message is not understood";
    }
    if (message->fd >= 0)
        close(message->fd);
    if (reason)
        log_line("warn", "the worker asked in vain for something to be held: %s", reason);
}

// One message at a time, so that a worker that talks without end keeps us from nothing. False: there was
// none.
static bool hear_worker(void) {
    struct message message;
    switch (receive_message(keeper.worker.channel, &message)) {
    case RECEIVED:
        // What a worker says that drains is of no use to those who serve on.
        if (!keeper.retired && !keeper.stopping)
            obey(&message);
        else if (message.fd >= 0)
            close(message.fd);
        return true;
    case MALFORMED:
        log_line("warn", "a message of the worker is malformed; it was ignored");
        return true;
    case NOTHING_YET:
        return false;
    case CLOSED:
        close_and_forget(&keeper.worker.channel);
        return false;
    }
    return false;
}

static int status_as_exit_code(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Whether it is ours to start another one. A worker that fails while nothing is held fails for whoever
// started us: its exit code, the restart and the pause before it are better seen there.
static bool is_to_be_replaced(int status) {
    if (keeper.stopping)
        return false;
    if (WIFSIGNALED(status))
        return true;
    return WEXITSTATUS(status) != 0 && keeper.held.count > 0;
}

static void worker_ended(int status) {
    // What it handed over with its last breath counts.
    while (keeper.worker.channel >= 0 && hear_worker())
        continue;
    close_and_forget(&keeper.worker.channel);
    if (!keeper.worker.ready)
        keeper.failures++;
    const int code = status_as_exit_code(status);
    keeper.worker = (struct worker){.channel = -1};
    if (keeper.retired && !keeper.stopping) {
        log_line("info", "the worker has drained");
        keeper.start_at = keeper.handover == SERVING ? now_ms() : NEVER;
        begin_waiting();
    } else if (is_to_be_replaced(status)) {
        keeper.restarts++;
        const int64_t pause = pause_ms(keeper.failures);
        log_line("error",
                 "the worker ended (%s %d); it is started again in %" PRId64 " ms, %zu descriptors are held",
                 WIFSIGNALED(status) ? "signal" : "exit code", WIFSIGNALED(status) ? WTERMSIG(status) : code,
                 pause, keeper.held.count);
        keeper.start_at = now_ms() + pause;
        begin_waiting();
    } else {
        keeper.exit_status = code;
    }
}

static void give_up(void) {
    keeper.give_up_at = NEVER;
    log_line("error",
             "no worker serves after %" PRId64
             " ms: %zu descriptors are closed, connections of pods are refused from now on",
             keeper.hold_ms, keeper.held.count);
    held_clear(&keeper.held);
    // It has duplicates, and hangs.
    if (keeper.worker.pid > 0 && !keeper.worker.ready)
        kill(keeper.worker.pid, SIGKILL);
    // The predecessor still has everything, and goes on when we are gone.
    if (keeper.predecessor >= 0)
        keeper.exit_status = EXIT_FAILED;
}

// ---------------------------------------------------------------------------------------------- handover

static void give_to_successor(void) {
    const int successor = handover_give(keeper.successors, &keeper.held);
    if (successor < 0)
        return;
    // One at a time; a new one means that the last one failed.
    close_and_forget(&keeper.successor);
    keeper.successor = successor;
}

static void successor_failed(void) {
    close_and_forget(&keeper.successor);
    if (keeper.handover != GIVING)
        return;
    log_line("warn", "handover: the successor went away before it served; going on ourselves");
    keeper.handover = SERVING;
    // One that still drains is replaced when it has ended.
    if (keeper.worker.pid == 0)
        start_worker();
}

static void hear_successor(void) {
    struct message message;
    const enum received received = receive_message(keeper.successor, &message);
    if (received == NOTHING_YET)
        return;
    if (received == RECEIVED && message.fd >= 0)
        close(message.fd);
    if (received == RECEIVED && strcmp(message.text, "taken") == 0 && keeper.handover == SERVING) {
        log_line("info", "handover: a successor took over %zu descriptors; the worker drains",
                 keeper.held.count);
        keeper.handover = GIVING;
        keeper.start_at = NEVER;
        keeper.retired = true;
        if (keeper.worker.pid > 0)
            kill(keeper.worker.pid, SIGTERM);
    } else if (received == RECEIVED && strcmp(message.text, "ready") == 0 && keeper.handover == GIVING) {
        log_line("info", "handover: the successor serves");
        keeper.handover = RELIEVED;
        keeper.give_up_at = NEVER;
        held_clear(&keeper.held);
        close_and_forget(&keeper.successors);
        close_and_forget(&keeper.successor);
    } else {
        successor_failed();
    }
}

// ----------------------------------------------------------------------------------------------- signals

static void reap(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == keeper.worker.pid)
            worker_ended(status);
}

// New connections are refused from here on, as without a keeper: nobody will come to serve them.
static void stop(void) {
    log_line("info", "asked to end");
    keeper.stopping = true;
    keeper.start_at = NEVER;
    keeper.give_up_at = NEVER;
    held_clear(&keeper.held);
    close_and_forget(&keeper.successors);
    if (keeper.worker.pid == 0)
        keeper.exit_status = 0;
}

static void on_signal(int signal) {
    if (signal == SIGCHLD) {
        reap();
        return;
    }
    const bool ends = signal == SIGTERM || signal == SIGINT;
    if (ends)
        stop();
    // One that drains for a successor was asked before; to be asked twice means to be in a hurry.
    if (keeper.worker.pid > 0 && !(ends && keeper.retired))
        kill(keeper.worker.pid, signal);
}

static int open_signals(void) {
    static const int ours[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        sigaddset(&set, ours[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// -------------------------------------------------------------------------------------------------- loop

static int until(int64_t moment, int64_t now) {
    return moment <= now ? 0 : (int)(moment - now < 3600000 ? moment - now : 3600000);
}

static void wait_and_act(int signals) {
    enum { SIGNALS, WORKER, SUCCESSORS, SUCCESSOR, COUNT };
    struct pollfd watched[COUNT] = {
        // poll() passes over descriptors that are -1.
        [SIGNALS] = {.fd = signals, .events = POLLIN},
        [WORKER] = {.fd = keeper.worker.channel, .events = POLLIN},
        [SUCCESSORS] = {.fd = keeper.handover == SERVING ? keeper.successors : -1, .events = POLLIN},
        [SUCCESSOR] = {.fd = keeper.successor, .events = POLLIN},
    };
    const int64_t next = keeper.start_at < keeper.give_up_at ? keeper.start_at : keeper.give_up_at;
    if (poll(watched, COUNT, next == NEVER ? -1 : until(next, now_ms())) < 0)
        return;
    if (watched[WORKER].revents)
        hear_worker();
    if (watched[SUCCESSORS].revents)
        give_to_successor();
    else if (watched[SUCCESSOR].revents)
        hear_successor();
    struct signalfd_siginfo info;
    while (watched[SIGNALS].revents && read(signals, &info, sizeof(info)) == sizeof(info))
        on_signal((int)info.ssi_signo);
    if (now_ms() >= keeper.give_up_at)
        give_up();
    if (now_ms() >= keeper.start_at)
        start_worker();
}

__attribute__((noreturn)) static void usage(FILE *to, int status) {
    fputs("usage: mesh-ebpf-keeper [--hold-seconds N] [--handover PATH] -- COMMAND [ARGUMENT...]\n"
          "       mesh-ebpf-keeper --probe PATH\n"
          "  --hold-seconds N  how long connections wait for a worker that serves, 1 to 3600 (30)\n"
          "  --handover PATH   socket on which the keeper of the next version takes over\n"
          "  --probe PATH      asks the node program on this socket whether it is ready: exit code 0 or 1\n",
          to);
    exit(status);
}

static void read_options(int argc, char *argv[]) {
    static const struct option options[] = {
        {"hold-seconds", required_argument, NULL, 's'},
        {"handover", required_argument, NULL, 'o'},
        {"probe", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "+h", options, NULL)) != -1;) {
        char *end = NULL;
        if (option == 'h')
            usage(stdout, 0);
        if (option == 'p')
            exit(probe(optarg));
        if (option == 'o') {
            keeper.handover_path = optarg;
            continue;
        }
        const long seconds = option == 's' ? strtol(optarg, &end, 10) : 0;
        if (seconds < 1 || seconds > 3600 || *end != '\0')
            usage(stderr, EXIT_USAGE);
        keeper.hold_ms = seconds * 1000;
    }
    if (optind >= argc)
        usage(stderr, EXIT_USAGE);
    keeper.command = argv + optind;
}

int main(int argc, char *argv[]) {
    read_options(argc, argv);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    const int signals = open_signals();
    if (signals < 0) {
        perror("mesh-ebpf-keeper: signalfd");
        return 1;
    }
    if (keeper.handover_path)
        keeper.predecessor = handover_take(keeper.handover_path, &keeper.held);
    start_worker();
    while (keeper.exit_status < 0)
        wait_and_act(signals);
    return keeper.exit_status;
}
