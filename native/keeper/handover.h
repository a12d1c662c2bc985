// From the keeper of a node program that is being replaced to the keeper of its successor (the two pods of a
// DaemonSet that is upgraded). The successor takes duplicates of everything held; the predecessor lets its
// worker drain and keeps its own duplicates until the successor serves, so that it can go on if the successor
// fails.
//
//   successor      keeper 1         ->
//                                   <-  keeper 1             (or: refused REASON)
//                                   <-  hold NAME, with the descriptor; for each
//                                   <-  end
//                  taken            ->                       the predecessor's worker drains, ours starts
//                  ready            ->                       the predecessor closes what it held
//
// Both ends must belong to the same user, who is root. A step may take two seconds.
#pragma once

#include "held.h"

// Where a successor may connect; in place of whoever listened there before. -1 on failure, which is logged.
int handover_listen(const char *path);

// Predecessor: a connection of a successor that now has everything; -1 if there is none.
int handover_give(int listener, const struct held *held);

// Successor: everything the predecessor holds, and the connection to it; -1 if there is no predecessor.
int handover_take(const char *path, struct held *held);
