#include "ring_buffer.h"

#include <bpf/libbpf.h>
#include <uv.h>

#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "bpf_info.h"
#include "call.h"
#include "fd.h"
#include "libbpf_log.h"
#include "napi_bytes.h"

namespace mesh {

namespace {

// Records handed over in one go (src/datapath/kernel-path/ended.ts counts on it); the rest comes in the next
// turn of the loop, so that a flood cannot starve it.
constexpr size_t records_per_turn = 1024;

// Records one after the other, as JavaScript gets them: an object for each costs more than what is done with
// it.
struct Batch {
    std::vector<uint8_t> bytes;
    std::vector<uint32_t> ends;
};

struct FreeRing {
    void operator()(ring_buffer *ring) const {
        ring_buffer__free(ring);
    }
};

class RingBuffer;

// Outlives the RingBuffer until libuv is done with the handle.
struct Poll {
    uv_poll_t handle;
    std::shared_ptr<RingBuffer> owner; // keeps the buffer alive while started
    napi_async_cleanup_hook_handle hook = nullptr;
};

class RingBuffer : public std::enable_shared_from_this<RingBuffer> {
  public:
    RingBuffer(Napi::Env env, UniqueFd map);

    Napi::Value start(const Args &args);
    Napi::Value pause(const Args &args);
    Napi::Value resume(const Args &args);
    Napi::Value drain(const Args &args);
    Napi::Value close(const Args &args);
    bool deliver();
    void stop();

  private:
    static int collect(void *self, void *data, size_t size);
    Batch take();
    void poll_from(const Args &args);
    void watch();

    Napi::Env env_;
    UniqueFd map_;
    std::unique_ptr<ring_buffer, FreeRing> ring_; // empty once closed
    Batch *batch_ = nullptr;                      // where collect() puts records, during take() only
    Napi::FunctionReference on_records_;
    Poll *poll_ = nullptr; // while started
};

RingBuffer::RingBuffer(Napi::Env env, UniqueFd map) : env_(env), map_(std::move(map)) {
    LibbpfLog log;
    ring_.reset(ring_buffer__new(map_.get(), collect, this, nullptr));
    if (ring_ == nullptr)
        throw ErrnoError(errno, "ring_buffer__new", log.summary());
}

// Called by libbpf, which is C: nothing may be thrown. A negative result ends the walk after this record.
int RingBuffer::collect(void *self, void *data, size_t size) {
    auto &[bytes, ends] = *static_cast<RingBuffer *>(self)->batch_;
    const auto *record = static_cast<const uint8_t *>(data);
    try {
        bytes.insert(bytes.end(), record, record + size);
        ends.push_back(static_cast<uint32_t>(bytes.size())); // take() has made room
    } catch (const std::bad_alloc &) {
        return -ENOMEM;
    }
    return ends.size() < records_per_turn ? 0 : -ECANCELED;
}

Batch RingBuffer::take() {
    Batch batch;
    batch.ends.reserve(records_per_turn);
    batch_ = &batch;
    ring_buffer__consume(ring_.get());
    batch_ = nullptr;
    return batch;
}

// False if there was nothing.
bool RingBuffer::deliver() {
    const auto alive = shared_from_this(); // onRecords may close the buffer
    const Napi::HandleScope scope(env_);
    const Batch batch = take();
    if (batch.ends.empty())
        return false;
    try {
        on_records_.MakeCallback(env_.Global(), {to_js(env_, batch.bytes), to_js(env_, batch.ends)});
    } catch (const Napi::Error &error) {
        // No JavaScript is above us to catch it: an uncaught exception, as in any event handler.
        napi_fatal_exception(env_, error.Value());
    }
    return true;
}

void on_readable(uv_poll_t *handle, int, int) {
    static_cast<Poll *>(handle->data)->owner->deliver();
}

void on_closed(uv_handle_t *handle) {
    const std::unique_ptr<Poll> poll(static_cast<Poll *>(handle->data));
    napi_remove_async_cleanup_hook(poll->hook);
}

void on_environment_end(napi_async_cleanup_hook_handle, void *poll) {
    static_cast<Poll *>(poll)->owner->stop();
}

void RingBuffer::poll_from(const Args &args) {
    uv_loop_t *loop = nullptr;
    napi_get_uv_event_loop(env_, &loop);
    auto poll = std::make_unique<Poll>();
    const int error = -uv_poll_init(loop, &poll->handle, ring_buffer__epoll_fd(ring_.get()));
    if (error != 0)
        throw ErrnoError(error, args.function());
    poll->handle.data = poll.get();
    poll->owner = shared_from_this();
    napi_add_async_cleanup_hook(env_, on_environment_end, poll.get(), &poll->hook);
    poll_ = poll.release();
    watch();
}

// What has come meanwhile makes it readable at once.
void RingBuffer::watch() {
    uv_poll_start(&poll_->handle, UV_READABLE, on_readable);
}

Napi::Value RingBuffer::start(const Args &args) {
    if (ring_ == nullptr)
        args.reject("the ring buffer is closed");
    if (poll_ != nullptr)
        args.reject("the ring buffer is started already");
    on_records_ = Napi::Persistent(args.function(0, "onRecords"));
    poll_from(args);
    return args.env().Undefined();
}

// Records wait where the kernel puts them.
Napi::Value RingBuffer::pause(const Args &args) {
    if (poll_ != nullptr)
        uv_poll_stop(&poll_->handle);
    return args.env().Undefined();
}

Napi::Value RingBuffer::resume(const Args &args) {
    if (poll_ != nullptr)
        watch();
    return args.env().Undefined();
}

Napi::Value RingBuffer::drain(const Args &args) {
    while (poll_ != nullptr && deliver())
        ;
    return args.env().Undefined();
}

// libuv calls on_closed later and keeps `poll` until then; nothing is delivered after this.
void RingBuffer::stop() {
    if (poll_ == nullptr)
        return;
    Poll *poll = std::exchange(poll_, nullptr);
    uv_close(reinterpret_cast<uv_handle_t *>(&poll->handle), on_closed);
    on_records_.Reset();
}

Napi::Value RingBuffer::close(const Args &args) {
    stop();
    ring_.reset();
    map_ = UniqueFd();
    return args.env().Undefined();
}

} // namespace

Napi::Value open_ring_buffer(const Args &args) {
    const int fd = args.fd(0, "map");
    map_info_of(args, fd);
    const auto ring = std::make_shared<RingBuffer>(args.env(), duplicate(fd));
    Napi::Object handle = Napi::Object::New(args.env());
    add_method(handle, ring, "start", &RingBuffer::start);
    add_method(handle, ring, "pause", &RingBuffer::pause);
    add_method(handle, ring, "resume", &RingBuffer::resume);
    add_method(handle, ring, "drain", &RingBuffer::drain);
    add_method(handle, ring, "close", &RingBuffer::close);
    return handle;
}

} // namespace mesh
