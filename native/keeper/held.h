// Descriptors held for the worker, by name. What the names mean is the worker's business. Bounded in number
// and in memory: the worker reads what strangers send, so what it asks for is not trusted either.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define HELD_MAX 4096
#define NAME_MAX_BYTES 255
// Of one sealed memory, and of all.
#define MEMORY_MAX_BYTES (64 << 10)
#define ALL_MEMORY_MAX_BYTES (16 << 20)

struct held_entry {
    char name[NAME_MAX_BYTES + 1];
    int fd;
    size_t memory;
};

struct held {
    struct held_entry entries[HELD_MAX];
    size_t count;
    size_t memory;
};

// Printable ASCII without spaces, quotes and backslashes, 1 to 255 bytes.
bool is_name(const char *text);

// Takes the descriptor, in place of one that has the name already. Returns NULL, or why it was refused; then
// the descriptor is closed. Only sockets that listen for TCP and memory that is sealed are held.
const char *held_put(struct held *held, const char *name, int fd);

// Closes what has that name, if anything does.
void held_drop(struct held *held, const char *name);
void held_clear(struct held *held);
