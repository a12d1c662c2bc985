#include "socket_address.h"

#include <arpa/inet.h>

#include <array>

#include "errno_error.h"

namespace mesh {

SocketAddress wildcard_address(int family, uint16_t port) {
    SocketAddress address;
    address.storage.ss_family = static_cast<sa_family_t>(family);
    if (family == AF_INET) {
        reinterpret_cast<sockaddr_in *>(&address.storage)->sin_port = htons(port);
        address.size = sizeof(sockaddr_in);
    } else {
        reinterpret_cast<sockaddr_in6 *>(&address.storage)->sin6_port = htons(port);
        address.size = sizeof(sockaddr_in6);
    }
    return address;
}

std::optional<SocketAddress> socket_address(int family, const std::string &ip, uint16_t port) {
    SocketAddress address = wildcard_address(family, port);
    void *place = family == AF_INET
                      ? static_cast<void *>(&reinterpret_cast<sockaddr_in *>(&address.storage)->sin_addr)
                      : &reinterpret_cast<sockaddr_in6 *>(&address.storage)->sin6_addr;
    if (inet_pton(family, ip.c_str(), place) != 1)
        return std::nullopt;
    return address;
}

std::optional<std::string> ip_text(const sockaddr *address) {
    const void *place = nullptr;
    if (address->sa_family == AF_INET)
        place = &reinterpret_cast<const sockaddr_in *>(address)->sin_addr;
    if (address->sa_family == AF_INET6)
        place = &reinterpret_cast<const sockaddr_in6 *>(address)->sin6_addr;
    if (place == nullptr)
        return std::nullopt;
    std::array<char, INET6_ADDRSTRLEN> text{};
    return inet_ntop(address->sa_family, place, text.data(), text.size());
}

uint16_t port_of(const sockaddr *address) {
    return ntohs(address->sa_family == AF_INET ? reinterpret_cast<const sockaddr_in *>(address)->sin_port
                                               : reinterpret_cast<const sockaddr_in6 *>(address)->sin6_port);
}

SocketName name_of(int fd) {
    SocketAddress address;
    address.size = sizeof(address.storage);
    check(getsockname(fd, reinterpret_cast<sockaddr *>(&address.storage), &address.size), "getsockname");
    const auto ip = ip_text(address.get());
    if (!ip)
        throw ErrnoError(EAFNOSUPPORT, "getsockname", "not an IP socket");
    return {*ip, port_of(address.get())};
}

} // namespace mesh
