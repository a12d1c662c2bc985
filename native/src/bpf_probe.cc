#include "bpf_probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <string_view>

#include "libbpf_log.h"
#include "unique_fd.h"

namespace mesh {

namespace {

struct Attempt {
    int error;
    std::array<char, 4096> log;
};

// Types whose programs name a kernel function or struct: two instructions cannot be such a program.
bool needs_btf_target(uint32_t type) {
    return type == BPF_PROG_TYPE_TRACING || type == BPF_PROG_TYPE_LSM || type == BPF_PROG_TYPE_EXT ||
           type == BPF_PROG_TYPE_STRUCT_OPS;
}

Attempt try_program(const Args &args, bpf_insn first) {
    const uint32_t type = args.u32(0, "programType");
    const uint32_t attach_type = args.u32(1, "attachType");
    if (needs_btf_target(type))
        args.reject("programs of this type need a BTF target and cannot be probed");
    const bpf_insn instructions[] = {
        first, {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    Attempt attempt{};
    LIBBPF_OPTS(bpf_prog_load_opts, options,
                .expected_attach_type = static_cast<bpf_attach_type>(attach_type), .log_level = 1,
                .log_size = static_cast<uint32_t>(attempt.log.size()), .log_buf = attempt.log.data());
    const UniqueFd program(
        bpf_prog_load(static_cast<bpf_prog_type>(type), nullptr, "GPL", instructions, 2, &options));
    attempt.error = program.valid() ? 0 : errno;
    if (attempt.error == EPERM)
        throw ErrnoError(EPERM, "bpf(BPF_PROG_LOAD)");
    attempt.log.back() = '\0';
    return attempt;
}

// The verifier's words for a helper that this program type does not have, 5.10 to 6.18.
bool says_unknown_helper(std::string_view log) {
    return log.find("invalid func ") != std::string_view::npos ||
           log.find("unknown func ") != std::string_view::npos ||
           log.find("cannot use helper ") != std::string_view::npos;
}

bool can_create_an_array() {
    return UniqueFd(bpf_map_create(BPF_MAP_TYPE_ARRAY, nullptr, 4, 4, 1, nullptr)).valid();
}

} // namespace

// A known helper is usually refused too, since its arguments are not set, but with another complaint. No log
// means the program type itself is unknown.
Napi::Value probe_helper(const Args &args) {
    const auto helper = static_cast<int32_t>(args.integer(2, "helper", 1, INT32_MAX));
    const Attempt attempt =
        try_program(args, {.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = helper});
    const std::string_view log(attempt.log.data());
    return Napi::Boolean::New(args.env(), attempt.error == 0 || (!log.empty() && !says_unknown_helper(log)));
}

Napi::Value probe_program_type(const Args &args) {
    const Attempt attempt = try_program(
        args, {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1});
    return Napi::Boolean::New(args.env(), attempt.error == 0);
}

// libbpf answers "no" to everything for a process without privileges: that must not look like an old kernel.
Napi::Value probe_map_type(const Args &args) {
    const uint32_t type = args.u32(0, "mapType");
    LibbpfLog log;
    const int answer = libbpf_probe_bpf_map_type(static_cast<bpf_map_type>(type), nullptr);
    if (answer == 0 && !can_create_an_array())
        throw ErrnoError(errno, "bpf(BPF_MAP_CREATE)");
    if (answer < 0)
        args.reject("libbpf cannot probe map type " + std::to_string(type));
    return Napi::Boolean::New(args.env(), answer == 1);
}

} // namespace mesh
