// The thread that visits network namespaces. setns() changes one thread only; giving that to a thread which
// does nothing else keeps the JS thread and libuv's pool in the namespace the process was born in. Jobs run
// one at a time, in order; each ends in a promise, settled on the JS thread. One thread per JS environment,
// started by the first job.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "arg.h"
#include "unique_fd.h"

namespace mesh {

// Opens a namespace. Throws EINVAL when the path is something else.
UniqueFd open_netns(const std::string &path);

class NetnsThread {
  public:
    // Makes the environment's own thread object, which lives until the environment ends.
    static void install(Napi::Env env);
    static NetnsThread &of(Napi::Env env);

    NetnsThread(const NetnsThread &) = delete;
    NetnsThread &operator=(const NetnsThread &) = delete;

    // `work` runs on the thread, inside the namespace (null: the process's own) and without JavaScript; it
    // may throw. `convert` turns what it returned into a JS value, on the JS thread.
    template <typename Result>
    Napi::Value run(std::optional<std::string> netns, std::function<Result()> work,
                    Napi::Value (*convert)(Napi::Env, Result &)) {
        auto job = std::make_unique<Visit<Result>>(env_, std::move(netns), std::move(work), convert);
        Napi::Value promise = job->deferred.Promise();
        enqueue(std::move(job));
        return promise;
    }

  private:
    struct Job {
        Job(Napi::Env env, std::optional<std::string> netns) : netns(std::move(netns)), deferred(env) {}
        virtual ~Job() = default;
        virtual void work() = 0;
        virtual Napi::Value result(Napi::Env env) = 0;

        std::optional<std::string> netns;
        Napi::Promise::Deferred deferred;
        std::exception_ptr failure;
    };

    template <typename Result> struct Visit : Job {
        Visit(Napi::Env env, std::optional<std::string> netns, std::function<Result()> body,
              Napi::Value (*convert)(Napi::Env, Result &))
            : Job(env, std::move(netns)), body(std::move(body)), convert(convert) {}
        void work() override {
            value.emplace(body());
        }
        Napi::Value result(Napi::Env env) override {
            return convert(env, *value);
        }

        std::function<Result()> body;
        Napi::Value (*convert)(Napi::Env, Result &);
        std::optional<Result> value;
    };

    explicit NetnsThread(Napi::Env env);
    void enqueue(std::unique_ptr<Job> job);
    void ensure_thread();
    void stop(); // once, when the environment ends
    void main();
    static bool visit(Job &job, int home);
    void settle_finished();
    void settle(Job &job);

    Napi::Env env_;
    // Wakes the JS thread. Referenced only while jobs are under way, so that it alone keeps no process alive.
    Napi::ThreadSafeFunction wake_;
    size_t under_way_ = 0; // JS thread only

    std::mutex lock_; // guards the rest
    std::condition_variable changed_;
    std::deque<std::unique_ptr<Job>> waiting_;
    std::vector<std::unique_ptr<Job>> finished_;
    bool stopping_ = false;
    bool stranded_ = false; // the thread could not return home and has ended
    std::thread thread_;
};

} // namespace mesh
