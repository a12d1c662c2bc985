#include "netns_socket.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "fd.h"
#include "netns_thread.h"
#include "socket_address.h"
#include "unique_fd.h"

namespace mesh {

namespace {

// Options that Debian 12's libc headers do not name, with the kernel's numbers.
constexpr int ipv6_transparent = 75; // IPV6_TRANSPARENT, include/uapi/linux/in6.h
constexpr int ipv6_freebind = 78;    // IPV6_FREEBIND
constexpr int so_netns_cookie = 71;  // SO_NETNS_COOKIE, since Linux 5.14

// Made in one visit; others who wait for the thread wait for that.
constexpr int64_t most_sockets = 1024;

// `SocketSpec` of binding.ts as a plain struct, for the thread that has no JavaScript.
struct Spec {
    std::optional<std::string> netns;
    int family;
    SocketAddress local;
    bool has_ip;
    uint16_t port;
    bool transparent;
    uint32_t mark;
    int backlog;
    bool dual_stack;
};

std::optional<std::string> text_or_null(const Args &args, Napi::Value value, const char *name,
                                        size_t max_bytes) {
    if (value.IsNull())
        return std::nullopt;
    return args.text_of(value, name, max_bytes);
}

int family_of(const Args &args, Napi::Value value) {
    const int64_t version = args.integer_of(value, "family", 4, 6);
    if (version == 5)
        args.reject("family must be 4 or 6");
    return version == 4 ? AF_INET : AF_INET6;
}

Spec spec_from(const Args &args) {
    const Napi::Object object = args.object(0, "spec");
    Spec spec{};
    spec.netns = text_or_null(args, object.Get("netns"), "netns", PATH_MAX - 1);
    spec.family = family_of(args, object.Get("family"));
    spec.port = static_cast<uint16_t>(args.integer_of(object.Get("bindPort"), "bindPort", 0, UINT16_MAX));
    spec.transparent = args.flag_of(object.Get("transparent"), "transparent");
    spec.mark = static_cast<uint32_t>(args.integer_of(object.Get("mark"), "mark", 0, UINT32_MAX));
    spec.backlog = static_cast<int>(args.integer_of(object.Get("backlog"), "backlog", 0, UINT16_MAX));
    spec.dual_stack = args.flag_of(object.Get("dualStack"), "dualStack");
    const auto ip = text_or_null(args, object.Get("bindIp"), "bindIp", INET6_ADDRSTRLEN);
    const auto local =
        ip ? socket_address(spec.family, *ip, spec.port) : wildcard_address(spec.family, spec.port);
    if (!local)
        args.reject("bindIp is not an address of the family");
    spec.local = *local;
    spec.has_ip = ip.has_value();
    return spec;
}

template <typename Value>
void set_option(const UniqueFd &socket, int level, int option, Value value, const char *syscall) {
    check(setsockopt(socket.get(), level, option, &value, sizeof(value)), syscall);
}

// FREEBIND too: a transparent IPv6 address would otherwise have to pass duplicate address detection first.
void make_transparent(const UniqueFd &socket, int family) {
    if (family == AF_INET) {
        set_option(socket, IPPROTO_IP, IP_TRANSPARENT, 1, "setsockopt(IP_TRANSPARENT)");
        set_option(socket, IPPROTO_IP, IP_FREEBIND, 1, "setsockopt(IP_FREEBIND)");
    } else {
        set_option(socket, IPPROTO_IPV6, ipv6_transparent, 1, "setsockopt(IPV6_TRANSPARENT)");
        set_option(socket, IPPROTO_IPV6, ipv6_freebind, 1, "setsockopt(IPV6_FREEBIND)");
    }
}

// Without IP_BIND_ADDRESS_NO_PORT the port of an outgoing socket is chosen at bind() and is then unique per
// local address; with it, at connect(), per connection: 28 000 connections to each destination instead of in
// all. Set also where the caller binds later.
void prepare_bind(const UniqueFd &socket, const Spec &spec) {
    if (spec.backlog > 0) {
        set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt(SO_REUSEADDR)");
    } else if (spec.port == 0) {
        set_option(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1, "setsockopt(IP_BIND_ADDRESS_NO_PORT)");
    }
}

void bind_local(const UniqueFd &socket, const Spec &spec) {
    prepare_bind(socket, spec);
    if (!spec.has_ip && spec.port == 0 && spec.backlog == 0)
        return;
    const std::string place = ip_text(spec.local.get()).value_or("") + " port " + std::to_string(spec.port);
    check(bind(socket.get(), spec.local.get(), spec.local.size), "bind", place);
}

UniqueFd make_socket(const Spec &spec) {
    UniqueFd socket(
        check(::socket(spec.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), "socket"));
    if (spec.family == AF_INET6) {
        set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, spec.dual_stack ? 0 : 1, "setsockopt(IPV6_V6ONLY)");
    }
    if (spec.mark != 0)
        set_option(socket, SOL_SOCKET, SO_MARK, spec.mark, "setsockopt(SO_MARK)");
    if (spec.transparent)
        make_transparent(socket, spec.family);
    bind_local(socket, spec);
    if (spec.backlog > 0)
        check(listen(socket.get(), spec.backlog), "listen");
    return socket;
}

UniqueFd udp_socket(int family) {
    return UniqueFd(check(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
}

std::optional<uint64_t> read_netns_cookie() {
    const UniqueFd socket = udp_socket(AF_INET);
    uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    if (getsockopt(socket.get(), SOL_SOCKET, so_netns_cookie, &cookie, &size) == 0)
        return cookie;
    if (errno == ENOPROTOOPT)
        return std::nullopt;
    throw ErrnoError(errno, "getsockopt(SO_NETNS_COOKIE)");
}

// connect() on UDP sends nothing. Its result does not matter: the hook that watches it may well refuse.
uint64_t connect_and_read_cookie(const SocketAddress &remote) {
    const UniqueFd socket = udp_socket(remote.get()->sa_family);
    (void)connect(socket.get(), remote.get(), remote.size);
    uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    check(getsockopt(socket.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size), "getsockopt(SO_COOKIE)");
    return cookie;
}

bool is_link_local(const sockaddr *address) {
    if (address->sa_family == AF_INET6) {
        return IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6 *>(address)->sin6_addr);
    }
    const uint32_t ip = ntohl(reinterpret_cast<const sockaddr_in *>(address)->sin_addr.s_addr);
    return (ip & 0xffff0000) == 0xa9fe0000; // 169.254.0.0/16
}

void collect_address(const ifaddrs &entry, std::vector<std::string> &addresses) {
    if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_LOOPBACK) != 0)
        return;
    const auto text = ip_text(entry.ifa_addr);
    if (!text || is_link_local(entry.ifa_addr))
        return;
    if (std::find(addresses.begin(), addresses.end(), *text) == addresses.end())
        addresses.push_back(*text);
}

std::vector<std::string> read_addresses() {
    ifaddrs *first = nullptr;
    check(getifaddrs(&first), "getifaddrs");
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(first, freeifaddrs);
    std::vector<std::string> addresses;
    for (const ifaddrs *entry = first; entry != nullptr; entry = entry->ifa_next)
        collect_address(*entry, addresses);
    return addresses;
}

Napi::Value bigint(Napi::Env env, uint64_t number) {
    return Napi::BigInt::New(env, number);
}

} // namespace

Napi::Value create_socket(const Args &args) {
    const Spec spec = spec_from(args);
    return NetnsThread::of(args.env())
        .run<UniqueFd>(
            spec.netns, [spec] { return make_socket(spec); },
            [](Napi::Env env, UniqueFd &socket) { return hand_out(env, std::move(socket)); });
}

// One visit for all: entering a namespace and coming back costs several times what a socket does.
Napi::Value create_sockets(const Args &args) {
    const Spec spec = spec_from(args);
    const auto count = static_cast<size_t>(args.integer(1, "count", 1, most_sockets));
    auto make_all = [spec, count] {
        std::vector<UniqueFd> sockets;
        while (sockets.size() < count)
            sockets.push_back(make_socket(spec));
        return sockets;
    };
    return NetnsThread::of(args.env())
        .run<std::vector<UniqueFd>>(spec.netns, make_all, [](Napi::Env env, std::vector<UniqueFd> &sockets) {
            Napi::Array result = Napi::Array::New(env, sockets.size());
            for (uint32_t i = 0; i < sockets.size(); i++)
                result.Set(i, hand_out(env, std::move(sockets[i])));
            return Napi::Value(result);
        });
}

Napi::Value netns_cookie(const Args &args) {
    return NetnsThread::of(args.env())
        .run<std::optional<uint64_t>>(args.path(0, "netns"), read_netns_cookie,
                                      [](Napi::Env env, std::optional<uint64_t> &cookie) {
                                          return cookie ? bigint(env, *cookie) : env.Null();
                                      });
}

Napi::Value probe_connect(const Args &args) {
    const std::string netns = args.path(0, "netns");
    const std::string ip = args.text(1, "ip");
    const auto port = static_cast<uint16_t>(args.integer(2, "port", 1, UINT16_MAX));
    const int family = ip.find(':') == std::string::npos ? AF_INET : AF_INET6;
    const auto remote = socket_address(family, ip, port);
    if (!remote)
        args.reject("ip is not an IP address");
    return NetnsThread::of(args.env())
        .run<uint64_t>(
            netns, [remote] { return connect_and_read_cookie(*remote); },
            [](Napi::Env env, uint64_t &cookie) { return bigint(env, cookie); });
}

Napi::Value netns_addresses(const Args &args) {
    return NetnsThread::of(args.env())
        .run<std::vector<std::string>>(args.path(0, "netns"), read_addresses,
                                       [](Napi::Env env, std::vector<std::string> &addresses) {
                                           Napi::Array result = Napi::Array::New(env, addresses.size());
                                           for (uint32_t i = 0; i < addresses.size(); i++)
                                               result.Set(i, addresses[i]);
                                           return result.As<Napi::Value>();
                                       });
}

Napi::Value netns_id(const Args &args) {
    const UniqueFd netns = open_netns(args.path(0, "netns"));
    struct stat status;
    check(fstat(netns.get(), &status), "fstat");
    Napi::Object result = Napi::Object::New(args.env());
    result.Set("device", bigint(args.env(), status.st_dev));
    result.Set("inode", bigint(args.env(), status.st_ino));
    return result;
}

} // namespace mesh
