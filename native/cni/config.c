// SPDX-License-Identifier: Apache-2.0
/* Reads the network configuration the runtime gives on stdin, and the pod's name it gives in CNI_ARGS. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "plugin.h"

/* Far more than any runtime sends: a configuration and the results of the plugins before this one. */
#define MAX_STDIN_BYTES (1 << 20)
#define DEFAULT_VERSION "0.3.1"
#define DEFAULT_SOCKET "/run/mesh-ebpf/node/cni.sock"
#define DEFAULT_WAIT_SECONDS 20
#define MAX_WAIT_SECONDS 100 /* a kubelet gives a sandbox two minutes */

/* All of stdin, or NULL: unreadable, or too much. */
static char *read_stdin(size_t *size) {
    char *text = malloc(MAX_STDIN_BYTES + 1);
    *size = 0;
    while (text && *size <= MAX_STDIN_BYTES) {
        ssize_t got = read(STDIN_FILENO, text + *size, MAX_STDIN_BYTES + 1 - *size);
        if (got < 0)
            return NULL;
        if (got == 0)
            return text;
        *size += (size_t)got;
    }
    return NULL;
}

static json_t *parse_stdin(bool lenient) {
    size_t size;
    json_error_t error;
    const char *text = read_stdin(&size);
    if (!text && !lenient)
        answer_error(DEFAULT_VERSION, CNI_IO_FAILURE,
                     "mesh-ebpf: cannot read the network configuration on stdin",
                     "it is unreadable, or larger than 1 MiB");
    json_t *whole = text ? json_loadb(text, size, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (json_is_object(whole))
        return whole;
    if (!lenient)
        answer_error(DEFAULT_VERSION, CNI_DECODE_FAILURE,
                     "mesh-ebpf: the network configuration is not a JSON object",
                     text && !whole ? error.text : NULL);
    return json_object();
}

/* The string there, or the default; anything else is an error, or the default when lenient. */
static const char *text_setting(const struct config *config, const char *key, const char *otherwise,
                                bool lenient) {
    json_t *value = json_object_get(config->whole, key);
    if (!value)
        return otherwise;
    if (json_is_string(value))
        return json_string_value(value);
    if (!lenient)
        answer_error(config->cni_version ? config->cni_version : DEFAULT_VERSION, CNI_INVALID_CONFIG,
                     "mesh-ebpf: a setting of the plugin is not text", key);
    return otherwise;
}

static long wait_setting(const struct config *config, bool lenient) {
    json_t *value = json_object_get(config->whole, "waitSeconds");
    if (!value)
        return DEFAULT_WAIT_SECONDS * 1000L;
    double seconds = json_number_value(value);
    if (json_is_number(value) && seconds >= 0 && seconds <= MAX_WAIT_SECONDS)
        return (long)(seconds * 1000);
    if (!lenient)
        answer_error(config->cni_version, CNI_INVALID_CONFIG, "mesh-ebpf: waitSeconds must be from 0 to 100",
                     NULL);
    return DEFAULT_WAIT_SECONDS * 1000L;
}

struct config read_config(bool lenient) {
    struct config config = {.whole = parse_stdin(lenient)};
    config.cni_version = text_setting(&config, "cniVersion", DEFAULT_VERSION, lenient);
    config.socket_path = text_setting(&config, "socket", DEFAULT_SOCKET, lenient);
    config.wait_ms = wait_setting(&config, lenient);
    config.previous_result = json_object_get(config.whole, "prevResult");
    return config;
}

bool is_excluded(const struct config *config, const char *kubernetes_namespace) {
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(config->whole, "excludeNamespaces"), index, entry) {
        if (json_is_string(entry) && strcmp(json_string_value(entry), kubernetes_namespace) == 0)
            return true;
    }
    return false;
}

const char *cni_argument(const char *key) {
    const char *all = getenv("CNI_ARGS");
    size_t length = strlen(key);
    while (all && *all) {
        const char *end = strchrnul(all, ';');
        if (strncmp(all, key, length) == 0 && all[length] == '=')
            return strndup(all + length + 1, (size_t)(end - all) - length - 1);
        all = *end ? end + 1 : end;
    }
    return NULL;
}
