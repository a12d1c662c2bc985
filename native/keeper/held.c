#include "held.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

bool is_name(const char *text) {
    const size_t length = strlen(text);
    if (length == 0 || length > NAME_MAX_BYTES)
        return false;
    for (const char *at = text; *at; at++)
        if (*at <= ' ' || *at > '~' || *at == '"' || *at == '\\')
            return false;
    return true;
}

static int option_of(int fd, int option) {
    int value = 0;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static bool listens_for_tcp(int fd) {
    return option_of(fd, SO_ACCEPTCONN) == 1 && option_of(fd, SO_PROTOCOL) == IPPROTO_TCP;
}

// Nobody can change it any more, whoever else has a descriptor of it.
static bool is_sealed_memory(int fd, size_t *size) {
    const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    const int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;
    if (seals < 0 || (seals & all) != all || fstat(fd, &status) != 0)
        return false;
    *size = (size_t)status.st_size;
    return true;
}

static struct held_entry *find(struct held *held, const char *name) {
    for (size_t i = 0; i < held->count; i++)
        if (strcmp(held->entries[i].name, name) == 0)
            return &held->entries[i];
    return NULL;
}

static const char *objection(const struct held *held, const char *name, int fd, size_t *memory) {
    if (!is_name(name))
        return "its name is malformed";
    if (!listens_for_tcp(fd) && !is_sealed_memory(fd, memory))
        return "it is neither a listening TCP socket nor sealed memory";
    if (*memory > MEMORY_MAX_BYTES || held->memory + *memory > ALL_MEMORY_MAX_BYTES)
        return "it is too large";
    return held->count == HELD_MAX ? "too many are held" : NULL;
}

const char *held_put(struct held *held, const char *name, int fd) {
    held_drop(held, name);
    size_t memory = 0;
    const char *reason = objection(held, name, fd, &memory);
    if (reason) {
        close(fd);
        return reason;
    }
    struct held_entry *entry = &held->entries[held->count++];
    strcpy(entry->name, name);
    entry->fd = fd;
    entry->memory = memory;
    held->memory += memory;
    return NULL;
}

void held_drop(struct held *held, const char *name) {
    struct held_entry *entry = find(held, name);
    if (!entry)
        return;
    close(entry->fd);
    held->memory -= entry->memory;
    *entry = held->entries[--held->count];
}

void held_clear(struct held *held) {
    for (size_t i = 0; i < held->count; i++)
        close(held->entries[i].fd);
    held->count = 0;
    held->memory = 0;
}
