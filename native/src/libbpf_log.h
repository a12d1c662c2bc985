// What libbpf prints, kept instead of shown: a LibbpfLog collects the messages of its thread while it lives.
#pragma once

#include <string>

namespace mesh {

// Routes libbpf's printing here, for the whole process. Harmless to call again.
void capture_libbpf_printing();

class LibbpfLog {
  public:
    LibbpfLog();
    ~LibbpfLog();
    LibbpfLog(const LibbpfLog &) = delete;
    LibbpfLog &operator=(const LibbpfLog &) = delete;

    // The verifier's part, or empty.
    std::string verifier_log() const;
    // The last few lines that say what went wrong, on one line; empty when nothing was printed.
    std::string summary() const;

    void append(const char *text, size_t size);

  private:
    std::string text_;
    LibbpfLog *outer_;
};

} // namespace mesh
