#include "tcp_socket.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

#include "errno_error.h"
#include "socket_address.h"

namespace mesh {

namespace {

// A peer that answers none of so many probes, a second apart, is dead; as libuv does it.
constexpr int keepalive_interval = 1;
constexpr int keepalive_probes = 10;

void set_option(int fd, int level, int option, int value, const char *syscall) {
    check(setsockopt(fd, level, option, &value, sizeof(value)), syscall);
}

SocketAddress address_of(const Args &args, size_t index, const char *name, uint16_t port) {
    const std::string ip = args.text(index, name);
    const int family = ip.find(':') == std::string::npos ? AF_INET : AF_INET6;
    const auto address = socket_address(family, ip, port);
    if (!address)
        args.reject(std::string(name) + " is not an IP address");
    return *address;
}

// Above those that kernels choose from (ip_local_port_range). The client whose address it is has a kernel of
// its own, which does not know of this socket: the next connection that it makes to the same application, and
// that comes here by itself, would meet an established one if it had the same port, and hang.
constexpr uint32_t first_port = 61000;
constexpr uint32_t port_count = 65536 - first_port;
constexpr int port_attempts = 4;

// One after the other, so that what was closed lately rests longest. If none is free, the kernel chooses.
void bind_from(int fd, const Args &args) {
    static std::atomic<uint32_t> next{static_cast<uint32_t>(getpid())};
    for (int attempt = 0; attempt < port_attempts; attempt++) {
        const auto port = static_cast<uint16_t>(first_port + next++ % port_count);
        const SocketAddress local = address_of(args, 1, "from", port);
        if (bind(fd, local.get(), local.size) == 0)
            return;
        if (errno != EADDRINUSE)
            throw ErrnoError(errno, "bind");
    }
    const SocketAddress local = address_of(args, 1, "from", 0);
    check(bind(fd, local.get(), local.size), "bind");
}

void begin_connect(int fd, const SocketAddress &remote) {
    if (connect(fd, remote.get(), remote.size) != 0 && errno != EINPROGRESS)
        throw ErrnoError(errno, "connect");
}

// A connection within the host stands, or is refused, before connect() has returned: only connect() does not
// say so on a socket that must not wait.
bool stands(int fd) {
    pollfd events{fd, POLLOUT, 0};
    check(poll(&events, 1, 0), "poll");
    if ((events.revents & POLLERR) != 0) {
        int error = 0;
        socklen_t size = sizeof(error);
        check(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), "getsockopt(SO_ERROR)");
        if (error != 0)
            throw ErrnoError(error, "connect");
    }
    return (events.revents & POLLOUT) != 0;
}

} // namespace

Napi::Value tune_socket(const Args &args) {
    const int fd = args.fd(0, "fd");
    const int idle = static_cast<int>(args.integer(1, "keepaliveSeconds", 1, INT16_MAX));
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "setsockopt(TCP_NODELAY)");
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "setsockopt(SO_KEEPALIVE)");
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle, "setsockopt(TCP_KEEPIDLE)");
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval, "setsockopt(TCP_KEEPINTVL)");
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes, "setsockopt(TCP_KEEPCNT)");
    return args.env().Undefined();
}

Napi::Value connect_socket(const Args &args) {
    const int fd = args.fd(0, "fd");
    const auto port = static_cast<uint16_t>(args.integer(3, "port", 1, UINT16_MAX));
    const SocketAddress remote = address_of(args, 2, "to", port);
    if (!args.is_null(1))
        bind_from(fd, args);
    begin_connect(fd, remote);
    const bool connected = stands(fd);
    const SocketName local = name_of(fd);
    Napi::Object result = Napi::Object::New(args.env());
    result.Set("ip", local.ip);
    result.Set("port", local.port);
    result.Set("connected", connected);
    return result;
}

} // namespace mesh
