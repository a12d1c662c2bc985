#include "message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Keeps the only descriptor; of several none. Returns how many there were.
static int take_descriptors(struct msghdr *header, struct message *message) {
    int count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const int here = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < here; i++, count++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
            if (count == 0)
                message->fd = fd;
            else
                close(fd);
        }
    }
    return count;
}

static bool is_text(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

enum received receive_message(int socket, struct message *message) {
    // Room for more than one, to see that there were more; what does not fit, the kernel closes.
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    struct iovec place = {.iov_base = message->text, .iov_len = sizeof(message->text) - 1};
    struct msghdr header = {
        .msg_iov = &place, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    message->fd = -1;
    const ssize_t length = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    if (length < 0)
        return errno == EAGAIN || errno == EINTR ? NOTHING_YET : CLOSED;
    const int descriptors = take_descriptors(&header, message);
    const bool whole = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && descriptors <= 1;
    if (whole && length == 0 && descriptors == 0)
        return CLOSED;
    message->text[length] = '\0';
    if (whole && is_text(message->text, (size_t)length))
        return RECEIVED;
    if (message->fd >= 0)
        close(message->fd);
    message->fd = -1;
    return MALFORMED;
}

bool send_message(int socket, const char *text, int fd) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec place = {.iov_base = (void *)text, .iov_len = strlen(text)};
    struct msghdr header = {.msg_iov = &place, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        struct cmsghdr *part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(part), &fd, sizeof(fd));
    }
    return sendmsg(socket, &header, MSG_NOSIGNAL) == (ssize_t)place.iov_len;
}

const char *after_word(const struct message *message, const char *word) {
    const size_t length = strlen(word);
    const bool begins = strncmp(message->text, word, length) == 0 && message->text[length] == ' ';
    return begins ? message->text + length + 1 : NULL;
}
