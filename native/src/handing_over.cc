#include "handing_over.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>

#include "fd.h"
#include "unique_fd.h"

namespace mesh {

namespace {

constexpr size_t max_message_bytes = 511;
constexpr int no_descriptor = -1;

int optional_fd(const Args &args, Napi::Value value) {
    return value.IsNull() ? no_descriptor : static_cast<int>(args.integer_of(value, "fd", 0, INT_MAX));
}

void write_all(const UniqueFd &file, Bytes bytes) {
    while (!bytes.empty()) {
        const auto written = check(write(file.get(), bytes.data(), bytes.size()), "write");
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
}

} // namespace

// Never waits: a receiver that does not read makes it EAGAIN.
Napi::Value send_message(const Args &args) {
    const int socket = args.fd(0, "socket");
    std::string text = args.text_of(args.value(1), "text", max_message_bytes);
    const int fd = optional_fd(args, args.value(2));
    iovec place{.iov_base = text.data(), .iov_len = text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &place;
    header.msg_iovlen = 1;
    if (fd != no_descriptor) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        cmsghdr *part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(part), &fd, sizeof(fd));
    }
    check(sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT), "sendmsg");
    return args.env().Undefined();
}

Napi::Value sealed_memory(const Args &args) {
    const Bytes bytes = args.bytes(0, "bytes");
    UniqueFd memory(check(memfd_create("mesh-ebpf", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
    write_all(memory, bytes);
    check(fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
          "fcntl(F_ADD_SEALS)");
    return hand_out(args.env(), std::move(memory));
}

} // namespace mesh
