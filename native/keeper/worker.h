// The worker process: started with everything that is held, and a channel to hand over more.
//
// It finds in MESH_EBPF_KEEPER three numbers: the descriptors of the channel and of a file that lists what it
// inherited, one `DESCRIPTOR NAME` a line, and how many workers ended before it that should not have. On the
// channel it says `hold NAME` (with the descriptor), `drop NAME`, and `ready` when it serves. Nothing is ever
// said to it: nothing has to be waited for.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "held.h"

struct worker {
    pid_t pid;   // 0: there is none
    int channel; // the keeper's end; -1: closed
    bool ready;  // it has said so
};

// False if it could not be started at all.
bool worker_start(struct worker *worker, const struct held *held, unsigned restarts, char *const command[]);
