#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

void log_line(const char *level, const char *format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);

    struct timespec now;
    struct tm utc;
    char time[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc);
    // One write a line, so that lines of the worker do not come in between.
    dprintf(STDOUT_FILENO, "{\"level\":\"%s\",\"time\":\"%s.%03ldZ\",\"scope\":\"keeper\",\"msg\":\"%s\"}\n",
            level, time, now.tv_nsec / 1000000, text);
}
