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

// Records handed over in one go; the rest comes in the next turn of the loop, so that a flood cannot starve
// it.
constexpr size_t records_per_turn = 1024;

using Record = std::vector<uint8_t>;

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
    Napi::Value close(const Args &args);
    void deliver();
    void stop();

  private:
    static int collect(void *self, void *data, size_t size);
    std::vector<Record> take();
    void poll_from(const Args &args);

    Napi::Env env_;
    UniqueFd map_;
    std::unique_ptr<ring_buffer, FreeRing> ring_; // empty once closed
    std::vector<Record> *batch_ = nullptr;        // where collect() puts records, during take() only
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
    std::vector<Record> &batch = *static_cast<RingBuffer *>(self)->batch_;
    const auto *bytes = static_cast<const uint8_t *>(data);
    try {
        batch.emplace_back(bytes, bytes + size);
    } catch (const std::bad_alloc &) {
        return -ENOMEM;
    }
    return batch.size() < records_per_turn ? 0 : -ECANCELED;
}

std::vector<Record> RingBuffer::take() {
    std::vector<Record> batch;
    batch_ = &batch;
    ring_buffer__consume(ring_.get());
    batch_ = nullptr;
    return batch;
}

void RingBuffer::deliver() {
    const auto alive = shared_from_this(); // onRecords may close the buffer
    const Napi::HandleScope scope(env_);
    const std::vector<Record> batch = take();
    if (batch.empty())
        return;
    try {
        Napi::Array records = Napi::Array::New(env_, batch.size());
        for (uint32_t i = 0; i < batch.size(); i++)
            records.Set(i, to_js(env_, batch[i]));
        on_records_.MakeCallback(env_.Global(), {records});
    } catch (const Napi::Error &error) {
        // No JavaScript is above us to catch it: an uncaught exception, as in any event handler.
        napi_fatal_exception(env_, error.Value());
    }
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
    uv_poll_start(&poll->handle, UV_READABLE, on_readable);
    poll_ = poll.release();
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
    add_method(handle, ring, "close", &RingBuffer::close);
    return handle;
}

} // namespace mesh
