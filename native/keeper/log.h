// The keeper's log: lines like those of the node program, on the same standard output.
#pragma once

// `level` is "info", "warn" or "error". The text must hold neither quotes nor backslashes; names that came
// from elsewhere were checked for them (held.h).
__attribute__((format(printf, 2, 3))) void log_line(const char *level, const char *format, ...);
