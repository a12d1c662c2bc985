// IP addresses between text and the kernel's structs.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <string>

namespace mesh {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;

    const sockaddr *get() const {
        return reinterpret_cast<const sockaddr *>(&storage);
    }
};

// `family` is AF_INET or AF_INET6; nothing when `ip` is not an address of it.
std::optional<SocketAddress> socket_address(int family, const std::string &ip, uint16_t port);
SocketAddress wildcard_address(int family, uint16_t port);
// Text of an AF_INET or AF_INET6 address, without scope; nothing for other families.
std::optional<std::string> ip_text(const sockaddr *address);
uint16_t port_of(const sockaddr *address);

struct SocketName {
    std::string ip;
    uint16_t port;
};

// The local end of an IP socket; throws EAFNOSUPPORT for others.
SocketName name_of(int fd);

} // namespace mesh
