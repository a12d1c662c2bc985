#include "libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <deque>
#include <sstream>
#include <vector>

namespace mesh {

namespace {

// A failed load of a large program can log tens of megabytes; the end is what explains it.
constexpr size_t kept_bytes = 1 << 20;
constexpr size_t summary_lines = 3;
constexpr size_t summary_bytes = 600;
constexpr const char *verifier_begin = "-- BEGIN PROG LOAD LOG --\n";
constexpr const char *verifier_end = "-- END PROG LOAD LOG --";

thread_local LibbpfLog *current = nullptr;

int print(enum libbpf_print_level level, const char *format, va_list arguments) {
    if (level == LIBBPF_DEBUG || current == nullptr)
        return 0;
    va_list again;
    va_copy(again, arguments);
    const int size = vsnprintf(nullptr, 0, format, arguments);
    if (size > 0) {
        std::vector<char> line(static_cast<size_t>(size) + 1);
        vsnprintf(line.data(), line.size(), format, again);
        current->append(line.data(), static_cast<size_t>(size));
    }
    va_end(again);
    return size;
}

// The verifier ends with statistics, which explain nothing.
bool says_something(const std::string &line) {
    return !line.empty() && !line.starts_with("processed ") && !line.starts_with("verification time") &&
           !line.starts_with("stack depth");
}

std::string without_prefix(const std::string &line) {
    constexpr std::string_view prefix = "libbpf: ";
    return line.starts_with(prefix) ? line.substr(prefix.size()) : line;
}

std::string last_lines(const std::string &text) {
    std::deque<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        if (!says_something(line))
            continue;
        lines.push_back(without_prefix(line));
        if (lines.size() > summary_lines)
            lines.pop_front();
    }
    std::string joined;
    for (const std::string &line : lines)
        joined += joined.empty() ? line : " | " + line;
    return joined.substr(0, summary_bytes);
}

} // namespace

void capture_libbpf_printing() {
    libbpf_set_print(print);
}

LibbpfLog::LibbpfLog() : outer_(current) {
    current = this;
}

LibbpfLog::~LibbpfLog() {
    current = outer_;
}

void LibbpfLog::append(const char *text, size_t size) {
    text_.append(text, size);
    if (text_.size() > kept_bytes)
        text_.erase(0, text_.size() - kept_bytes);
}

std::string LibbpfLog::verifier_log() const {
    const size_t begin = text_.find(verifier_begin);
    const size_t start = begin == std::string::npos ? 0 : begin + std::string_view(verifier_begin).size();
    const size_t end = text_.rfind(verifier_end);
    // No begin but an end: the beginning was cut off.
    return end == std::string::npos || end < start ? std::string() : text_.substr(start, end - start);
}

std::string LibbpfLog::summary() const {
    const std::string verifier = verifier_log();
    return last_lines(verifier.empty() ? text_ : verifier);
}

} // namespace mesh
