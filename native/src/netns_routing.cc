#include "netns_routing.h"

#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "fd.h"
#include "netns_thread.h"
#include "unique_fd.h"

namespace mesh {

namespace {

// Which packets, and by which routing table.
struct MarkRoute {
    int family;
    uint32_t mark;
    uint32_t mask;
    uint8_t table;
    uint32_t priority;
};

// One request: header, the family's own header, attributes (netlink(7)). Each part is padded to 4 bytes.
class Request {
  public:
    template <typename Header> Request(uint16_t type, uint16_t flags, const Header &header) {
        nlmsghdr head{};
        head.nlmsg_type = type;
        head.nlmsg_flags = flags | NLM_F_REQUEST | NLM_F_ACK;
        append(&head, sizeof(head));
        append(&header, sizeof(header));
    }

    void add(uint16_t type, uint32_t value) {
        const rtattr attribute{static_cast<uint16_t>(RTA_LENGTH(sizeof(value))), type};
        append(&attribute, sizeof(attribute));
        append(&value, sizeof(value));
    }

    const std::vector<uint8_t> &bytes() {
        const auto size = static_cast<uint32_t>(bytes_.size());
        std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &size, sizeof(size));
        return bytes_;
    }

  private:
    void append(const void *data, size_t size) {
        const auto *from = static_cast<const uint8_t *>(data);
        bytes_.insert(bytes_.end(), from, from + size);
        bytes_.resize(NLMSG_ALIGN(bytes_.size()));
    }

    std::vector<uint8_t> bytes_;
};

UniqueFd routing_socket() {
    return UniqueFd(
        check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket(NETLINK_ROUTE)"));
}

// The kernel has answered when send() returns. 0 or an errno.
int ask(const UniqueFd &socket, Request request, const char *what) {
    const auto &bytes = request.bytes();
    check(send(socket.get(), bytes.data(), bytes.size(), 0), what);
    alignas(nlmsghdr) uint8_t answer[4096];
    const auto size = static_cast<size_t>(check(recv(socket.get(), answer, sizeof(answer), 0), what));
    if (size < NLMSG_LENGTH(sizeof(nlmsgerr)))
        throw ErrnoError(EPROTO, what, "the kernel's answer is too short");
    nlmsghdr head;
    nlmsgerr error;
    std::memcpy(&head, answer, sizeof(head));
    std::memcpy(&error, answer + NLMSG_HDRLEN, sizeof(error));
    if (head.nlmsg_type != NLMSG_ERROR)
        throw ErrnoError(EPROTO, what, "the kernel did not answer the request");
    return -error.error;
}

// False for an error that means that it was so already.
bool ask(const UniqueFd &socket, Request request, const char *what, std::initializer_list<int> harmless) {
    const int error = ask(socket, std::move(request), what);
    if (error != 0 && std::find(harmless.begin(), harmless.end(), error) == harmless.end())
        throw ErrnoError(error, what);
    return error == 0;
}

Request rule_request(uint16_t type, uint16_t flags, const MarkRoute &route) {
    fib_rule_hdr header{};
    header.family = static_cast<uint8_t>(route.family);
    header.table = route.table;
    header.action = FR_ACT_TO_TBL;
    Request request(type, flags, header);
    request.add(FRA_FWMARK, route.mark);
    request.add(FRA_FWMASK, route.mask);
    if (type == RTM_NEWRULE)
        request.add(FRA_PRIORITY, route.priority);
    return request;
}

uint32_t loopback_index() {
    const uint32_t index = if_nametoindex("lo");
    if (index == 0)
        throw ErrnoError(errno, "if_nametoindex", "lo");
    return index;
}

// `local default dev lo`: whatever the address, it is this host's.
Request route_request(uint16_t type, uint16_t flags, const MarkRoute &route) {
    rtmsg header{};
    header.rtm_family = static_cast<uint8_t>(route.family);
    header.rtm_table = route.table;
    header.rtm_protocol = RTPROT_BOOT;
    header.rtm_scope = RT_SCOPE_HOST;
    header.rtm_type = RTN_LOCAL;
    Request request(type, flags, header);
    request.add(RTA_OIF, loopback_index());
    return request;
}

constexpr uint16_t create = NLM_F_CREATE | NLM_F_EXCL;

void add_route_and_rule(const MarkRoute &route) {
    const UniqueFd socket = routing_socket();
    // The route first: a rule without it would send marked packets on to the next table.
    ask(socket, route_request(RTM_NEWROUTE, create, route), "RTM_NEWROUTE", {EEXIST});
    // With a priority: without, the kernel chooses a new one, and takes an equal rule for another.
    ask(socket, rule_request(RTM_NEWRULE, create, route), "RTM_NEWRULE", {EEXIST});
}

void remove_rule_and_route(const MarkRoute &route) {
    const UniqueFd socket = routing_socket();
    const std::initializer_list<int> absent = {ENOENT, ESRCH, EAFNOSUPPORT, EOPNOTSUPP};
    // Of every priority: earlier versions let the kernel choose.
    while (ask(socket, rule_request(RTM_DELRULE, 0, route), "RTM_DELRULE", absent))
        continue;
    ask(socket, route_request(RTM_DELROUTE, 0, route), "RTM_DELROUTE", absent);
}

MarkRoute mark_route_from(const Args &args) {
    const Napi::Object object = args.object(1, "route");
    const int64_t version = args.integer_of(object.Get("family"), "family", 4, 6);
    if (version == 5)
        args.reject("family must be 4 or 6");
    const auto u32 = [&](const char *name, int64_t min) {
        return static_cast<uint32_t>(args.integer_of(object.Get(name), name, min, UINT32_MAX));
    };
    return {
        .family = version == 4 ? AF_INET : AF_INET6,
        .mark = u32("mark", 1),
        .mask = u32("mask", 1),
        .table = static_cast<uint8_t>(args.integer_of(object.Get("table"), "table", 1, 252)),
        .priority = u32("priority", 1),
    };
}

struct Nothing {};

Napi::Value undefined(Napi::Env env, Nothing &) {
    return env.Undefined();
}

Napi::Value in_netns(const Args &args, std::function<void()> work) {
    return NetnsThread::of(args.env())
        .run<Nothing>(
            args.path(0, "netns"),
            [work = std::move(work)] {
                work();
                return Nothing{};
            },
            undefined);
}

void write_file(const std::string &path, const std::string &text) {
    const UniqueFd file(check(open(path.c_str(), O_WRONLY | O_CLOEXEC), "open", path));
    check(write(file.get(), text.data(), text.size()), "write", path);
}

void bring_up_loopback() {
    const UniqueFd any(check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    ifreq request{};
    std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
    request.ifr_flags = IFF_UP;
    check(ioctl(any.get(), SIOCSIFFLAGS, &request), "ioctl(SIOCSIFFLAGS)", "lo");
}

// Where the kernel keeps the addresses that are its own: a socket may be bound to any.
void own_every_address(int family) {
    const MarkRoute everything{
        .family = family, .mark = 0, .mask = 0, .table = RT_TABLE_LOCAL, .priority = 0};
    // A kernel without IPv6 has no addresses of it to own.
    ask(routing_socket(), route_request(RTM_NEWROUTE, create, everything), "RTM_NEWROUTE",
        {EEXIST, EAFNOSUPPORT, EOPNOTSUPP});
}

UniqueFd make_loopback_netns() {
    check(unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)");
    UniqueFd netns(check(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "open"));
    bring_up_loopback();
    for (const int family : {AF_INET, AF_INET6})
        own_every_address(family);
    return netns;
}

} // namespace

// The thread visits home first, so that it is brought back there afterwards.
Napi::Value create_loopback_netns(const Args &args) {
    return NetnsThread::of(args.env())
        .run<UniqueFd>("/proc/self/ns/net", make_loopback_netns,
                       [](Napi::Env env, UniqueFd &netns) { return hand_out(env, std::move(netns)); });
}

Napi::Value add_mark_route(const Args &args) {
    return in_netns(args, [route = mark_route_from(args)] { add_route_and_rule(route); });
}

Napi::Value remove_mark_route(const Args &args) {
    return in_netns(args, [route = mark_route_from(args)] { remove_rule_and_route(route); });
}

// What /proc/sys/net shows is that of the thread that looks.
Napi::Value write_in_netns(const Args &args) {
    const std::string text = args.text(2, "text");
    if (!args.value(1).IsArray())
        args.reject("paths must be an array");
    const Napi::Array array = args.value(1).As<Napi::Array>();
    std::vector<std::string> paths;
    for (uint32_t i = 0; i < array.Length(); i++)
        paths.push_back(args.text_of(array.Get(i), "path", PATH_MAX - 1));
    return in_netns(args, [paths, text] {
        for (const auto &path : paths)
            write_file(path, text);
    });
}

} // namespace mesh
