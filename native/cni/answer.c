// SPDX-License-Identifier: Apache-2.0
/* The plugin's one answer: a result or an error as JSON on stdout (CNI specification, section 5), and the
 * exit code. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "plugin.h"

/* True when everything was written. */
static bool write_all(const char *text, size_t size) {
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, text, size);
        if (written <= 0)
            return false;
        text += written;
        size -= (size_t)written;
    }
    return true;
}

static bool print(json_t *document) {
    char *text = json_dumps(document, JSON_COMPACT);
    return text && write_all(text, strlen(text));
}

noreturn void answer_nothing(void) {
    exit(EXIT_SUCCESS);
}

/* A result that did not reach the runtime is no success: it would take the empty answer for the pod's
 * addresses. */
noreturn void answer_document(json_t *document) {
    exit(print(document) ? EXIT_SUCCESS : EXIT_FAILURE);
}

noreturn void answer_error(const char *cni_version, int code, const char *message, const char *details) {
    json_t *error = json_pack("{s:s, s:i, s:s, s:s}", "cniVersion", cni_version, "code", code, "msg", message,
                              "details", details ? details : "");
    if (error)
        print(error);
    exit(EXIT_FAILURE);
}
