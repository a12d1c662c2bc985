#include "socket_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "netns_thread.h"
#include "socket_address.h"
#include "unique_fd.h"

namespace mesh {

namespace {

struct Request {
    nlmsghdr head{};
    inet_diag_req_v2 body{};
};

struct Answer {
    int error = 0; // an errno; 0 with a socket unless it was a plain acknowledgement
    inet_diag_msg socket{};
};

UniqueFd diag_socket() {
    return UniqueFd(
        check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), "socket(NETLINK_SOCK_DIAG)"));
}

inet_diag_req_v2 about(const SocketAddress &local, const SocketAddress &remote) {
    inet_diag_req_v2 body{};
    body.sdiag_family = static_cast<uint8_t>(local.get()->sa_family);
    body.sdiag_protocol = IPPROTO_TCP;
    body.idiag_states = ~0U;
    const auto put = [](const SocketAddress &address, __be32 *ip, __be16 *port) {
        if (address.get()->sa_family == AF_INET) {
            const auto *v4 = reinterpret_cast<const sockaddr_in *>(&address.storage);
            ip[0] = v4->sin_addr.s_addr;
            *port = v4->sin_port;
        } else {
            const auto *v6 = reinterpret_cast<const sockaddr_in6 *>(&address.storage);
            std::memcpy(ip, &v6->sin6_addr, sizeof(v6->sin6_addr));
            *port = v6->sin6_port;
        }
    };
    put(local, body.id.idiag_src, &body.id.idiag_sport);
    put(remote, body.id.idiag_dst, &body.id.idiag_dport);
    body.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
    body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    return body;
}

// The kernel has answered when send() returns: with the socket it was asked for, or an error message.
Answer ask(const UniqueFd &socket, uint16_t type, const inet_diag_req_v2 &body, const char *what) {
    Request request;
    request.head.nlmsg_len = sizeof(request);
    request.head.nlmsg_type = type;
    request.head.nlmsg_flags = NLM_F_REQUEST | (type == SOCK_DESTROY ? NLM_F_ACK : 0);
    request.body = body;
    check(send(socket.get(), &request, sizeof(request), 0), what);
    alignas(nlmsghdr) uint8_t bytes[8192];
    const auto size = static_cast<size_t>(check(recv(socket.get(), bytes, sizeof(bytes), 0), what));
    nlmsghdr head;
    if (size < NLMSG_HDRLEN)
        throw ErrnoError(EPROTO, what, "the kernel's answer is too short");
    std::memcpy(&head, bytes, sizeof(head));
    Answer answer;
    if (head.nlmsg_type == NLMSG_ERROR && size >= NLMSG_LENGTH(sizeof(nlmsgerr))) {
        nlmsgerr error;
        std::memcpy(&error, bytes + NLMSG_HDRLEN, sizeof(error));
        answer.error = -error.error;
    } else if (head.nlmsg_type == SOCK_DIAG_BY_FAMILY && size >= NLMSG_LENGTH(sizeof(inet_diag_msg))) {
        std::memcpy(&answer.socket, bytes + NLMSG_HDRLEN, sizeof(answer.socket));
    } else {
        throw ErrnoError(EPROTO, what, "the kernel did not answer the request");
    }
    return answer;
}

bool is_gone(int error) {
    return error == ENOENT || error == ESTALE;
}

// Without a connection the kernel finds whoever listens there, and what waits out its time cannot be ended.
bool is_connection(const inet_diag_msg &found) {
    return found.idiag_state != TCP_LISTEN && found.idiag_state != TCP_TIME_WAIT &&
           found.idiag_state != TCP_CLOSE;
}

bool destroy(const UniqueFd &socket, inet_diag_req_v2 body, bool listener = false) {
    const Answer found = ask(socket, SOCK_DIAG_BY_FAMILY, body, "SOCK_DIAG_BY_FAMILY");
    if (is_gone(found.error))
        return false;
    if (found.error != 0)
        throw ErrnoError(found.error, "SOCK_DIAG_BY_FAMILY");
    if (!listener && !is_connection(found.socket))
        return false;
    // That one and no successor of it.
    std::memcpy(body.id.idiag_cookie, found.socket.id.idiag_cookie, sizeof(body.id.idiag_cookie));
    const Answer ended = ask(socket, SOCK_DESTROY, body, "SOCK_DESTROY");
    if (is_gone(ended.error))
        return false;
    if (ended.error != 0)
        throw ErrnoError(ended.error, "SOCK_DESTROY");
    return true;
}

SocketAddress address_from(const Args &args, Napi::Value value, const char *name) {
    if (!value.IsObject())
        args.reject(std::string(name) + " must be an object");
    const Napi::Object object = value.As<Napi::Object>();
    const std::string ip = args.text_of(object.Get("ip"), "ip", INET6_ADDRSTRLEN);
    const auto port = static_cast<uint16_t>(args.integer_of(object.Get("port"), "port", 1, UINT16_MAX));
    const auto address = socket_address(ip.find(':') == std::string::npos ? AF_INET : AF_INET6, ip, port);
    if (!address)
        args.reject(std::string(name) + " is not an address");
    return *address;
}

inet_diag_req_v2 connection_from(const Args &args, Napi::Value value) {
    if (!value.IsObject())
        args.reject("a connection must be an object");
    const Napi::Object object = value.As<Napi::Object>();
    const SocketAddress local = address_from(args, object.Get("local"), "local");
    const SocketAddress remote = address_from(args, object.Get("remote"), "remote");
    if (local.get()->sa_family != remote.get()->sa_family)
        args.reject("local and remote must be of one family");
    inet_diag_req_v2 body = about(local, remote);
    const Napi::Value cookie = object.Get("cookie");
    if (cookie.IsNull())
        return body;
    bool lossless = false;
    if (!cookie.IsBigInt())
        args.reject("cookie must be a bigint or null");
    const uint64_t number = cookie.As<Napi::BigInt>().Uint64Value(&lossless);
    body.id.idiag_cookie[0] = static_cast<uint32_t>(number);
    body.id.idiag_cookie[1] = static_cast<uint32_t>(number >> 32);
    return body;
}

constexpr uint32_t with_connection = ~((1U << TCP_LISTEN) | (1U << TCP_TIME_WAIT) | (1U << TCP_CLOSE));

void collect(const nlmsghdr &head, std::vector<inet_diag_msg> &found) {
    if (head.nlmsg_type == NLMSG_ERROR) {
        const auto *error = static_cast<const nlmsgerr *>(NLMSG_DATA(&head));
        // A kernel without the family has no sockets of it.
        if (error->error != 0 && error->error != -ENOENT)
            throw ErrnoError(-error->error, "SOCK_DIAG_BY_FAMILY");
    }
    if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || head.nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg)))
        return;
    inet_diag_msg one;
    std::memcpy(&one, NLMSG_DATA(&head), sizeof(one));
    found.push_back(one);
}

void dump_family(const UniqueFd &socket, uint8_t family, std::vector<inet_diag_msg> &found) {
    Request request;
    request.head.nlmsg_len = sizeof(request);
    request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.body.sdiag_family = family;
    request.body.sdiag_protocol = IPPROTO_TCP;
    request.body.idiag_states = with_connection;
    check(send(socket.get(), &request, sizeof(request), 0), "SOCK_DIAG_BY_FAMILY");
    alignas(nlmsghdr) uint8_t bytes[32768];
    for (;;) {
        auto left =
            static_cast<unsigned>(check(recv(socket.get(), bytes, sizeof(bytes), 0), "SOCK_DIAG_BY_FAMILY"));
        for (auto *head = reinterpret_cast<nlmsghdr *>(bytes); NLMSG_OK(head, left);
             head = NLMSG_NEXT(head, left)) {
            collect(*head, found);
            if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR)
                return;
        }
    }
}

std::vector<inet_diag_msg> all_connections() {
    const UniqueFd socket = diag_socket();
    std::vector<inet_diag_msg> found;
    for (const uint8_t family : {AF_INET, AF_INET6})
        dump_family(socket, family, found);
    return found;
}

Napi::Object end_of(Napi::Env env, uint8_t family, const __be32 *ip, __be16 port) {
    char text[INET6_ADDRSTRLEN] = {};
    inet_ntop(family, ip, text, sizeof(text));
    Napi::Object end = Napi::Object::New(env);
    end.Set("ip", text);
    end.Set("port", ntohs(port));
    return end;
}

Napi::Value sockets_to_js(Napi::Env env, std::vector<inet_diag_msg> &found) {
    Napi::Array result = Napi::Array::New(env, found.size());
    for (uint32_t i = 0; i < found.size(); i++) {
        const auto &[family, id] = std::pair(found[i].idiag_family, found[i].id);
        const uint64_t cookie = id.idiag_cookie[0] | static_cast<uint64_t>(id.idiag_cookie[1]) << 32;
        Napi::Object one = Napi::Object::New(env);
        one.Set("local", end_of(env, family, id.idiag_src, id.idiag_sport));
        one.Set("remote", end_of(env, family, id.idiag_dst, id.idiag_dport));
        one.Set("cookie", Napi::BigInt::New(env, cookie));
        result.Set(i, one);
    }
    return result;
}

} // namespace

Napi::Value destroy_sockets(const Args &args) {
    auto netns = args.path(0, "netns");
    if (!args.value(1).IsArray())
        args.reject("connections must be an array");
    const Napi::Array array = args.value(1).As<Napi::Array>();
    std::vector<inet_diag_req_v2> connections;
    for (uint32_t i = 0; i < array.Length(); i++)
        connections.push_back(connection_from(args, array.Get(i)));
    return NetnsThread::of(args.env())
        .run<uint32_t>(
            std::move(netns),
            [connections = std::move(connections)] {
                const UniqueFd socket = diag_socket();
                uint32_t ended = 0;
                for (const auto &connection : connections)
                    ended += destroy(socket, connection) ? 1 : 0;
                return ended;
            },
            [](Napi::Env env, uint32_t &ended) -> Napi::Value { return Napi::Number::New(env, ended); });
}

Napi::Value tcp_sockets(const Args &args) {
    return NetnsThread::of(args.env())
        .run<std::vector<inet_diag_msg>>(args.path(0, "netns"), all_connections, sockets_to_js);
}

// On a socket of our own: nothing else tells whether the kernel was built with it (INET_DIAG_DESTROY).
Napi::Value probe_socket_destroy(const Args &args) {
    const UniqueFd victim(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), "socket"));
    SocketAddress local = wildcard_address(AF_INET, 0);
    check(bind(victim.get(), local.get(), local.size), "bind");
    check(listen(victim.get(), 1), "listen");
    check(getsockname(victim.get(), reinterpret_cast<sockaddr *>(&local.storage), &local.size),
          "getsockname");
    const auto remote = socket_address(AF_INET, "127.0.0.1", 1);
    bool works = false;
    try {
        works = destroy(diag_socket(), about(local, *remote), true);
    } catch (const ErrnoError &) {
        works = false;
    }
    return Napi::Boolean::New(args.env(), works);
}

} // namespace mesh
