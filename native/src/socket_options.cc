#include "socket_options.h"

#include <linux/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "errno_error.h"
#include "socket_address.h"

namespace mesh {

namespace {

// An older kernel fills less of a struct than we know: the rest stays zero.
template <typename Value> Value read_option(int fd, int level, int option, const char *syscall) {
    Value value{};
    socklen_t size = sizeof(value);
    check(getsockopt(fd, level, option, &value, &size), syscall);
    return value;
}

} // namespace

Napi::Value socket_cookie(const Args &args) {
    const auto cookie =
        read_option<uint64_t>(args.fd(0, "fd"), SOL_SOCKET, SO_COOKIE, "getsockopt(SO_COOKIE)");
    return Napi::BigInt::New(args.env(), cookie);
}

Napi::Value tcp_info_of(const Args &args) {
    const auto info = read_option<tcp_info>(args.fd(0, "fd"), IPPROTO_TCP, TCP_INFO, "getsockopt(TCP_INFO)");
    Napi::Object result = Napi::Object::New(args.env());
    result.Set("state", info.tcpi_state);
    result.Set("rttUs", info.tcpi_rtt);
    result.Set("retransmits", info.tcpi_total_retrans);
    result.Set("bytesAcked", Napi::BigInt::New(args.env(), static_cast<uint64_t>(info.tcpi_bytes_acked)));
    result.Set("bytesReceived",
               Napi::BigInt::New(args.env(), static_cast<uint64_t>(info.tcpi_bytes_received)));
    return result;
}

// Other socket families answer pid 0 and uid -1 instead of failing, which a caller might take for an
// identity.
Napi::Value peer_credentials(const Args &args) {
    const int fd = args.fd(0, "fd");
    const int family = read_option<int>(fd, SOL_SOCKET, SO_DOMAIN, "getsockopt(SO_DOMAIN)");
    if (family != AF_UNIX)
        throw ErrnoError(EAFNOSUPPORT, "getsockopt(SO_PEERCRED)", "not a unix socket");
    const auto peer = read_option<ucred>(fd, SOL_SOCKET, SO_PEERCRED, "getsockopt(SO_PEERCRED)");
    Napi::Object result = Napi::Object::New(args.env());
    result.Set("pid", peer.pid);
    result.Set("uid", peer.uid);
    result.Set("gid", peer.gid);
    return result;
}

Napi::Value socket_name(const Args &args) {
    const SocketName name = name_of(args.fd(0, "fd"));
    Napi::Object result = Napi::Object::New(args.env());
    result.Set("ip", name.ip);
    result.Set("port", name.port);
    return result;
}

// Not SO_ERROR alone: that also tells, once, of ICMP errors which the connection may well survive.
Napi::Value socket_error(const Args &args) {
    pollfd events{args.fd(0, "fd"), 0, 0};
    check(poll(&events, 1, 0), "poll");
    if ((events.revents & POLLNVAL) != 0)
        throw ErrnoError(EBADF, "poll");
    const int error = (events.revents & POLLERR) == 0
                          ? 0
                          : read_option<int>(events.fd, SOL_SOCKET, SO_ERROR, "getsockopt(SO_ERROR)");
    return Napi::Number::New(args.env(), error);
}

} // namespace mesh
