// SPDX-License-Identifier: Apache-2.0
/*
 * The CNI plugin, chained after the cluster's own: asks the node's agent to take a pod into the mesh before
 * the pod's first process runs, and passes the result of the plugins before it through. Without an agent a
 * pod that may belong into the mesh is refused, and the runtime tries again; pods of excluded namespaces
 * never wait and never ask. Specification: https://www.cni.dev/docs/spec/
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "plugin.h"

#define PROTOCOL_VERSION 1
/* What DEL and GC may take: they tell the agent what it would find out by itself. */
#define COURTESY_WAIT_MS 2000

static const char *const supported[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

static json_t *supported_versions(void) {
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof(supported) / sizeof(*supported); i++)
        json_array_append_new(list, json_string(supported[i]));
    return list;
}

static void require_version(const struct config *config) {
    for (size_t i = 0; i < sizeof(supported) / sizeof(*supported); i++) {
        if (strcmp(config->cni_version, supported[i]) == 0)
            return;
    }
    answer_error(config->cni_version, CNI_INCOMPATIBLE_VERSION,
                 "mesh-ebpf: this version of CNI is not supported",
                 "supported: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0");
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static const char *require_variable(const struct config *config, const char *name) {
    const char *value = variable(name);
    if (*value == '\0')
        answer_error(config->cni_version, CNI_INVALID_ENVIRONMENT,
                     "mesh-ebpf: a variable is missing in the environment", name);
    return value;
}

static void require_previous_result(const struct config *config) {
    if (!json_is_object(config->previous_result))
        answer_error(config->cni_version, CNI_INVALID_CONFIG, "mesh-ebpf: there is no prevResult",
                     "this plugin is chained: it must come after the one that makes the pod's interface");
}

/* The pod's Kubernetes namespace. NULL: whoever calls runs no Kubernetes pod, so nobody can have labelled it.
 */
static const char *pod_namespace(const struct config *config) {
    const char *namespace = cni_argument("K8S_POD_NAMESPACE");
    const char *name = cni_argument("K8S_POD_NAME");
    if (!namespace != !name)
        answer_error(config->cni_version, CNI_INVALID_ENVIRONMENT, "mesh-ebpf: CNI_ARGS names half of a pod",
                     "K8S_POD_NAMESPACE and K8S_POD_NAME belong together");
    return namespace;
}

static json_t *request_of(const struct config *config, const char *command, int netns) {
    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:s, s:O}", "version", PROTOCOL_VERSION, "command", command,
                     "containerId", variable("CNI_CONTAINERID"), "ifname", variable("CNI_IFNAME"), "netnsFd",
                     netns, "args", variable("CNI_ARGS"), "config", config->whole);
}

/* Ends the process if the agent refuses, or does not answer. */
static void require_consent(const struct config *config, json_t *request) {
    static const char *const advice =
        "the pod may belong into the mesh, so it must not start without it; the runtime will try again. "
        "Does the mesh-ebpf node pod run on this node? See its log";
    const char *reason = "the request is not valid UTF-8";
    struct patience patience = {.wait_ms = config->wait_ms, .insist = true};
    json_t *answer = request ? ask_agent(config->socket_path, request, patience, &reason) : NULL;
    if (!answer)
        answer_error(config->cni_version, CNI_TRY_AGAIN_LATER, reason, advice);
    const char *message, *details = advice;
    int code;
    if (json_unpack(answer, "{s:{s:i, s:s, s?s}}", "error", "code", &code, "msg", &message, "details",
                    &details) == 0)
        answer_error(config->cni_version, code, message, details);
    if (!json_is_true(json_object_get(answer, "ok")))
        answer_error(config->cni_version, CNI_TRY_AGAIN_LATER, "the agent's answer cannot be understood",
                     advice);
}

/* The agent reads the namespace through this process's descriptor: it needs no view of the host's files. */
static int open_netns(const struct config *config) {
    int fd = open(require_variable(config, "CNI_NETNS"), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        answer_error(config->cni_version, CNI_INVALID_ENVIRONMENT, "mesh-ebpf: cannot open CNI_NETNS",
                     strerror(errno));
    return fd;
}

/* ADD and CHECK. Returns when the pod is in the mesh, or does not belong there. */
static void consult(const struct config *config, const char *command) {
    require_version(config);
    require_previous_result(config);
    const char *namespace = pod_namespace(config);
    if (!namespace || is_excluded(config, namespace))
        return;
    require_variable(config, "CNI_CONTAINERID");
    require_variable(config, "CNI_IFNAME");
    require_consent(config, request_of(config, command, open_netns(config)));
}

/* DEL and GC must not fail for want of an agent: nothing would ever be cleaned up without one. */
noreturn static void tell(const char *command) {
    struct config config = read_config(true);
    const char *reason;
    const char *namespace = cni_argument("K8S_POD_NAMESPACE");
    json_t *request = request_of(&config, command, -1);
    /* An agent that is not there knows of no sandbox that it would have to forget. */
    struct patience patience = {.wait_ms = COURTESY_WAIT_MS, .insist = false};
    if (request && !(namespace && is_excluded(&config, namespace)))
        ask_agent(config.socket_path, request, patience, &reason);
    answer_nothing();
}

noreturn static void answer_version(void) {
    struct config config = read_config(true);
    answer_document(
        json_pack("{s:s, s:o}", "cniVersion", config.cni_version, "supportedVersions", supported_versions()));
}

int main(void) {
    const char *command = variable("CNI_COMMAND");
    if (strcmp(command, "VERSION") == 0)
        answer_version();
    if (strcmp(command, "DEL") == 0 || strcmp(command, "GC") == 0)
        tell(command);
    struct config config = read_config(false);
    /* Ready with and without an agent: pods of excluded namespaces, which the agent may need, start in any
     * case. */
    if (strcmp(command, "STATUS") == 0)
        answer_nothing();
    if (strcmp(command, "ADD") == 0) {
        consult(&config, command);
        answer_document(config.previous_result);
    }
    if (strcmp(command, "CHECK") == 0) {
        consult(&config, command);
        answer_nothing();
    }
    answer_error(config.cni_version, CNI_INVALID_ENVIRONMENT, "mesh-ebpf: CNI_COMMAND is not a command",
                 command);
}
