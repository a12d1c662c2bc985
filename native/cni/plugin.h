/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the CNI plugin share. The process lives for milliseconds and serves one call: memory is
 * given back by its end.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdnoreturn.h>

/* Error codes of the CNI specification, section 5. */
enum cni_error {
    CNI_INCOMPATIBLE_VERSION = 1,
    CNI_INVALID_ENVIRONMENT = 4,
    CNI_IO_FAILURE = 5,
    CNI_DECODE_FAILURE = 6,
    CNI_INVALID_CONFIG = 7,
    CNI_TRY_AGAIN_LATER = 11,
    CNI_NOT_CAPTURED = 100, /* ours: CHECK found a pod outside the mesh that belongs into it */
};

/* The network configuration on stdin, and what of it is ours. */
struct config {
    json_t *whole;
    const char *cni_version;
    json_t *previous_result; /* NULL: none */
    const char *socket_path;
    long wait_ms; /* how long a pod waits for the agent before it is refused */
};

/* answer.c: one document on stdout, and the end of the process. */
noreturn void answer_nothing(void);
noreturn void answer_document(json_t *document);
noreturn void answer_error(const char *cni_version, int code, const char *message, const char *details);

/* config.c. `lenient` leaves out what it cannot understand; otherwise that is an error and the end. */
struct config read_config(bool lenient);
/* Whether pods of this namespace never wait for the agent. */
bool is_excluded(const struct config *config, const char *kubernetes_namespace);
/* The value of `KEY` in CNI_ARGS, `KEY=VALUE;KEY=VALUE`; NULL if it is not there. */
const char *cni_argument(const char *key);

/* How long to wait for an answer, and whether to ask again while nobody is there to give one. */
struct patience {
    long wait_ms;
    bool insist;
};

/* agent.c. Sends `request` and returns the agent's answer; NULL, and why in `*reason`, when there is none by
 * then. */
json_t *ask_agent(const char *socket_path, json_t *request, struct patience patience, const char **reason);
