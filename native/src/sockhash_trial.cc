#include "sockhash_trial.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "map_layout.h"
#include "netns_thread.h"
#include "unique_fd.h"

namespace mesh {

namespace {

constexpr int pairs = 24;
// Fits into the buffers of a socket, so that one thread can send all before the other end reads; and more
// than what programs are likely to redirect in a row.
constexpr size_t bytes_each_way = 320 * 1024;
// After this long a read counts as hanging. What fails with EAGAIN before was woken for nothing.
constexpr auto patience = std::chrono::milliseconds(1000);
constexpr auto breath = std::chrono::milliseconds(3);

using Buffer = std::vector<uint8_t>;

struct End {
    Buffer key;
    Buffer stored;
};

struct Maps {
    UniqueFd sockhash;
    UniqueFd storage;
};

struct Pair {
    UniqueFd dialling;
    UniqueFd accepting;
};

struct Outcome {
    int intact = 0;
    int spurious_wakeups = 0;
};

UniqueFd tcp_socket() {
    return UniqueFd(check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), "socket"));
}

sockaddr *generic(sockaddr_in &address) {
    return reinterpret_cast<sockaddr *>(&address);
}

void limit_waiting(int fd) {
    const timeval limit{.tv_sec = patience.count() / 1000, .tv_usec = 0};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
        check(setsockopt(fd, SOL_SOCKET, option, &limit, sizeof(limit)), "setsockopt(SO_RCVTIMEO)");
}

Pair connected_pair(const UniqueFd &listener, sockaddr_in address) {
    Pair pair{tcp_socket(), UniqueFd()};
    limit_waiting(pair.dialling.get());
    check(connect(pair.dialling.get(), generic(address), sizeof(address)), "connect");
    pair.accepting = UniqueFd(check(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept4"));
    limit_waiting(pair.accepting.get());
    return pair;
}

void put(const Maps &maps, const End &end, const UniqueFd &socket) {
    const int fd = socket.get();
    const auto value = static_cast<uint64_t>(fd);
    check(bpf_map_update_elem(maps.storage.get(), &fd, end.stored.data(), BPF_ANY),
          "bpf(BPF_MAP_UPDATE_ELEM)", "socket storage");
    check(bpf_map_update_elem(maps.sockhash.get(), end.key.data(), &value, BPF_ANY),
          "bpf(BPF_MAP_UPDATE_ELEM)", "sockhash");
}

// Never the same at the same distance: a piece that comes too early, twice or not at all is noticed.
Buffer pattern(size_t seed) {
    Buffer bytes(bytes_each_way);
    for (size_t i = 0; i < bytes.size(); i++)
        bytes[i] = static_cast<uint8_t>((i * 2654435761U + seed * 40503U) >> 13);
    return bytes;
}

bool send_in_pieces(int fd, const Buffer &bytes) {
    size_t piece = 1;
    for (size_t sent = 0; sent < bytes.size(); piece = piece * 3 % 8191 + 1) {
        const ssize_t size =
            send(fd, bytes.data() + sent, std::min(piece, bytes.size() - sent), MSG_NOSIGNAL);
        if (size <= 0)
            return false;
        sent += static_cast<size_t>(size);
    }
    return true;
}

bool receive_all(int fd, const Buffer &expected) {
    Buffer bytes(expected.size());
    for (size_t received = 0; received < bytes.size();) {
        const ssize_t size = recv(fd, bytes.data() + received, bytes.size() - received, 0);
        if (size <= 0)
            return false;
        received += static_cast<size_t>(size);
    }
    return bytes == expected;
}

bool at_end(int fd) {
    uint8_t byte = 0;
    return recv(fd, &byte, 1, 0) == 0;
}

// Waits until somebody sends, and says whether it was told to try again although nobody said not to wait.
bool wakes_for_nothing(int fd) {
    const auto since = std::chrono::steady_clock::now();
    uint8_t byte = 0;
    const bool failed = recv(fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
    return failed && std::chrono::steady_clock::now() - since < patience / 2;
}

// One end sends all and half-closes while another thread of its process waits for the answer.
void play(const Pair &pair, size_t seed, Outcome &outcome) {
    const int dialling = pair.dialling.get();
    const int accepting = pair.accepting.get();
    const Buffer request = pattern(seed);
    const Buffer answer = pattern(seed + 1);
    bool intact = send_in_pieces(dialling, request);
    bool woken = false;
    std::thread waiting([&] { woken = wakes_for_nothing(dialling); });
    std::this_thread::sleep_for(breath);
    shutdown(dialling, SHUT_WR);
    std::this_thread::sleep_for(breath);
    intact = receive_all(accepting, request) && at_end(accepting) && intact;
    intact = send_in_pieces(accepting, answer) && intact;
    shutdown(accepting, SHUT_WR);
    waiting.join();
    intact = receive_all(dialling, answer) && at_end(dialling) && intact;
    outcome.intact += intact ? 1 : 0;
    outcome.spurious_wakeups += woken ? 1 : 0;
}

Outcome try_all(const Maps &maps, const std::array<End, 2> &ends) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const UniqueFd listener = tcp_socket();
    check(bind(listener.get(), generic(address), sizeof(address)), "bind");
    check(listen(listener.get(), 1), "listen");
    socklen_t size = sizeof(address);
    check(getsockname(listener.get(), generic(address), &size), "getsockname");
    Outcome outcome;
    for (int i = 0; i < pairs; i++) {
        const Pair pair = connected_pair(listener, address);
        put(maps, ends[0], pair.dialling);
        put(maps, ends[1], pair.accepting);
        play(pair, static_cast<size_t>(i), outcome);
    }
    return outcome;
}

Napi::Value described(Napi::Env env, Outcome &outcome) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("pairs", pairs);
    result.Set("intact", outcome.intact);
    result.Set("bytes", static_cast<double>(pairs * 2 * bytes_each_way));
    result.Set("spuriousWakeups", outcome.spurious_wakeups);
    return result;
}

// Of both ends, one after the other.
std::array<Buffer, 2> two(Bytes bytes) {
    const auto middle = bytes.begin() + static_cast<ptrdiff_t>(bytes.size() / 2);
    return {Buffer(bytes.begin(), middle), Buffer(middle, bytes.end())};
}

UniqueFd duplicate(int fd) {
    return UniqueFd(check(fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl(F_DUPFD_CLOEXEC)"));
}

} // namespace

Napi::Value try_sockhash(const Args &args) {
    const MapLayout sockhash = map_layout(args, args.fd(0, "sockhash"));
    const MapLayout storage = map_layout(args, args.fd(1, "storage"));
    const auto keys = two(args.bytes_of_size(2, "keys", 2 * sockhash.key_size));
    const auto stored = two(args.bytes_of_size(3, "values", 2 * storage.value_size));
    const std::array<End, 2> ends{End{keys[0], stored[0]}, End{keys[1], stored[1]}};
    // The caller may close its own while the thread is at it.
    const auto maps = std::make_shared<Maps>(Maps{duplicate(sockhash.fd), duplicate(storage.fd)});
    return NetnsThread::of(args.env())
        .run<Outcome>(
            std::nullopt, [maps, ends] { return try_all(*maps, ends); }, described);
}

} // namespace mesh
