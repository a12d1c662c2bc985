#include "netns_thread.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "errno_error.h"

namespace mesh {

UniqueFd open_netns(const std::string &path) {
    UniqueFd fd(check(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path));
    if (ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
        throw ErrnoError(EINVAL, "setns", path + " is not a network namespace");
    }
    return fd;
}

void NetnsThread::install(Napi::Env env) {
    auto *thread = new NetnsThread(env);
    env.SetInstanceData<NetnsThread>(thread);
    // Hooks run last in, first out: this one stops the thread before the thread-safe function it calls goes
    // away.
    env.AddCleanupHook([](NetnsThread *thread) { thread->stop(); }, thread);
}

NetnsThread &NetnsThread::of(Napi::Env env) {
    return *env.GetInstanceData<NetnsThread>();
}

NetnsThread::NetnsThread(Napi::Env env) : env_(env) {
    const auto wake = Napi::Function::New(env, [this](const Napi::CallbackInfo &) { settle_finished(); });
    wake_ = Napi::ThreadSafeFunction::New(env, wake, "mesh-ebpf netns", 0, 1);
    wake_.Unref(env);
}

void NetnsThread::enqueue(std::unique_ptr<Job> job) {
    ensure_thread();
    if (under_way_++ == 0)
        wake_.Ref(env_);
    const std::lock_guard lock(lock_);
    waiting_.push_back(std::move(job));
    changed_.notify_one();
}

// A new thread starts in the namespace of its creator, the JS thread, which never leaves it.
void NetnsThread::ensure_thread() {
    {
        const std::lock_guard lock(lock_);
        if (thread_.joinable() && !stranded_)
            return;
    }
    if (thread_.joinable())
        thread_.join();
    stranded_ = false;
    thread_ = std::thread([this] { main(); });
}

void NetnsThread::stop() {
    {
        const std::lock_guard lock(lock_);
        stopping_ = true;
        changed_.notify_one();
    }
    if (thread_.joinable())
        thread_.join();
    wake_.Release();
}

void NetnsThread::main() {
    const UniqueFd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    std::unique_lock lock(lock_);
    while (!stranded_) {
        changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
        if (stopping_)
            return;
        std::unique_ptr<Job> job = std::move(waiting_.front());
        waiting_.pop_front();
        lock.unlock();
        const bool returned = visit(*job, home.get());
        lock.lock();
        stranded_ = !returned;
        finished_.push_back(std::move(job));
        wake_.NonBlockingCall();
    }
}

// Whether the thread is back home. The job carries its own failure.
bool NetnsThread::visit(Job &job, int home) {
    bool away = false;
    try {
        if (job.netns) {
            const UniqueFd netns = open_netns(*job.netns);
            check(setns(netns.get(), CLONE_NEWNET), "setns", *job.netns);
            away = true;
        }
        job.work();
    } catch (...) {
        job.failure = std::current_exception();
    }
    return !away || setns(home, CLONE_NEWNET) == 0;
}

void NetnsThread::settle_finished() {
    std::vector<std::unique_ptr<Job>> finished;
    bool more = false;
    {
        const std::lock_guard lock(lock_);
        finished.swap(finished_);
        more = !waiting_.empty();
    }
    if (more)
        ensure_thread();
    for (const std::unique_ptr<Job> &job : finished)
        settle(*job);
    under_way_ -= finished.size();
    if (under_way_ == 0)
        wake_.Unref(env_);
}

void NetnsThread::settle(Job &job) {
    const Napi::HandleScope scope(env_);
    try {
        if (job.failure)
            std::rethrow_exception(job.failure);
        job.deferred.Resolve(job.result(env_));
    } catch (...) {
        job.deferred.Reject(as_js_error(env_, std::current_exception()).Value());
    }
}

} // namespace mesh
