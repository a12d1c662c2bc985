#include "fd.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

namespace mesh {

namespace {

// Descriptor numbers belong to the process, not to one JS environment: so does the table, hence the lock.
using FileIdentity = std::pair<dev_t, ino_t>;
std::mutex table_lock;
std::unordered_map<int, FileIdentity> table;

std::optional<FileIdentity> identity_of(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return std::nullopt;
    return FileIdentity{status.st_dev, status.st_ino};
}

bool still_ours(const std::pair<const int, FileIdentity> &entry) {
    return identity_of(entry.first) == entry.second;
}

} // namespace

Napi::Value hand_out(Napi::Env env, UniqueFd fd) {
    Napi::Value number = Napi::Number::New(env, fd.get());
    if (const auto identity = identity_of(fd.get())) {
        const std::lock_guard lock(table_lock);
        table.insert_or_assign(fd.get(), *identity);
    }
    fd.release();
    return number;
}

UniqueFd duplicate(int fd) {
    return UniqueFd(check(fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl"));
}

Napi::Value open_path(const Args &args) {
    const std::string path = args.path(0, "path");
    // O_NONBLOCK: a FIFO at that path must not stop the event loop.
    return hand_out(args.env(),
                    UniqueFd(check(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path)));
}

Napi::Value dup_fd(const Args &args) {
    return hand_out(args.env(), duplicate(args.fd(0, "fd")));
}

Napi::Value close_fd(const Args &args) {
    const int fd = args.fd(0, "fd");
    const std::lock_guard lock(table_lock);
    const auto entry = table.find(fd);
    if (entry == table.end())
        args.reject("descriptor " + std::to_string(fd) + " was not handed out, or is closed");
    const bool ours = still_ours(*entry);
    table.erase(entry);
    if (!ours)
        args.reject("descriptor " + std::to_string(fd) + " was closed elsewhere");
    check(close(fd), "close");
    return args.env().Undefined();
}

Napi::Value try_lock(const Args &args) {
    if (flock(args.fd(0, "fd"), LOCK_EX | LOCK_NB) == 0)
        return Napi::Boolean::New(args.env(), true);
    if (errno != EWOULDBLOCK)
        throw ErrnoError(errno, "flock");
    return Napi::Boolean::New(args.env(), false);
}

Napi::Value adopt_fd(const Args &args) {
    UniqueFd fd(args.fd(0, "fd"));
    if (fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
        const int error = errno;
        fd.release();
        throw ErrnoError(error, "fcntl", "descriptor is not open");
    }
    return hand_out(args.env(), std::move(fd));
}

Napi::Value open_fd_count(const Args &args) {
    const std::lock_guard lock(table_lock);
    std::erase_if(table, [](const auto &entry) { return !still_ours(entry); });
    return Napi::Number::New(args.env(), static_cast<double>(table.size()));
}

} // namespace mesh
