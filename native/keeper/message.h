// Messages between worker and keeper, and between two keepers: one line of text in a packet of a
// SOCK_SEQPACKET socket, with at most one descriptor (SCM_RIGHTS).
#pragma once

#include <stdbool.h>

#define MESSAGE_MAX_BYTES 512

struct message {
    char text[MESSAGE_MAX_BYTES];
    int fd; // -1: none. The receiver's to close.
};

enum received { RECEIVED, NOTHING_YET, CLOSED, MALFORMED };

// MALFORMED: too long, not text, or with several descriptors, which are closed.
enum received receive_message(int socket, struct message *message);

// `fd` -1: none.
bool send_message(int socket, const char *text, int fd);

// The rest of the message when it begins with `word` and a space, else NULL.
const char *after_word(const struct message *message, const char *word);
